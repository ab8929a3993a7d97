"""The progress bar of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from cityscapes.totals import Totals
from converter.console import PlainConsole


class RateColumn(ProgressColumn):
    """Images per second, of late."""

    def render(self, task: Task) -> Text:
        """`0.25 images/s`."""
        speed = task.finished_speed or task.speed
        return Text("– images/s" if speed is None else f"{speed:.2f} images/s")


@dataclass
class Display:
    """The bar, told what happens."""

    bar: Progress

    def __post_init__(self) -> None:
        self.task = self.bar.add_task("", total=None, miou="")

    def begin(self, phase: str, *, total: int | None = None, done: int = 0) -> None:
        """A phase starts, of `total` images, `done` of them before."""
        self.bar.reset(self.task, description=phase, total=total, completed=done)

    def advance(self, totals: Totals) -> None:
        """An image is done."""
        figures = ", ".join(f"{name} {100 * score.miou:.2f}" for name, score in totals.scores.items())
        self.bar.update(self.task, completed=totals.images, miou=f"mIoU {figures}")


@contextmanager
def show_progress(console: Console | None = None, *, enabled: bool = True) -> Iterator[Display]:
    """A bar on standard error, if that is a terminal: images, rate, running mIoU and time left."""
    console = console or PlainConsole(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TextColumn("{task.fields[miou]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True, disable=not (enabled and console.is_terminal)) as bar:
        yield Display(bar)
