"""A result for people, in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cityscapes.labels import NAMES
from cityscapes.result import Result
from converter.console import wide_console
from converter.names import count

TITLES = {"torch": "torch", "paddle": "Paddle"}


def titles_of(result: Result) -> dict[str, str]:
    """What each framework is called; a user's port stands in the place of the Paddle twin."""
    return TITLES | ({"paddle": "port"} if result.settings.get("port") else {})


def print_result(result: Result, console: Console | None = None) -> None:
    """IoU of each class, the means, what was published, and how far the frameworks agree."""
    console = console or wide_console()
    for line in describe(result):
        console.print(line, soft_wrap=True, markup=False)
    console.print(_class_table(result))
    for line in (*published_lines(result), *agreement_lines(result)):
        console.print(line, soft_wrap=True, markup=False)
    if result.totals.agreement is not None and result.totals.agreement.worst:
        console.print(_flip_table(result))
    if not result:
        console.print("[bold]FAILED[/bold]: the frameworks differ where rounding does not explain it")


def describe(result: Result) -> list[str]:
    """What was evaluated, and how."""
    settings = result.settings
    window = settings["window"]
    parts = [
        f"{count(result.totals.images, 'image')} of {settings['split']}",
        f"{settings['family']}, recurrence {settings['recurrence']}",
        f"protocol {result.protocol}",
        "whole pictures" if window is None else f"window {window}, overlap {settings['overlap']}",
    ]
    if settings["scales"] != [1.0]:
        parts.append(f"scales {', '.join(map(str, settings['scales']))}")
    if settings["flip"]:
        parts.append("flipped too")
    return ["; ".join(parts), *result.notes]


def published_lines(result: Result) -> list[str]:
    """One line for each published figure."""
    lines = []
    for figure in result.published:
        verdicts = ", ".join(
            f"{titles_of(result)[name]} {'reaches' if reached else 'does not reach'} it"
            for name, reached in result.reached(figure).items()
        )
        lines.append(f"published: {figure['miou']:.2f} ({figure['label']}, {figure['source']}); {verdicts} (± 0.15)")
    return lines


def agreement_lines(result: Result) -> list[str]:
    """Confusion matrices, flips and mIoU of the two frameworks."""
    agreement = result.totals.agreement
    if agreement is None:
        return []
    return [
        f"confusion matrices: {'equal' if result.confusion_equal else 'not equal'}; "
        f"mIoU differs by {100 * result.miou_difference:+.4f} points",
        f"pixels of another class: {agreement.differing}, of them {agreement.unexplained} with a margin above the "
        f"rounding noise of {agreement.noise:.1e}",
    ]


def _class_table(result: Result) -> Table:
    scores = result.totals.scores
    table = Table("class", *(f"IoU {titles_of(result)[name]}" for name in scores), box=box.SIMPLE)
    for index, name in enumerate(NAMES):
        table.add_row(name, *(_percent(score.class_iou[index]) for score in scores.values()))
    table.add_section()
    table.add_row("mIoU", *(_percent(score.miou) for score in scores.values()), style="bold")
    table.add_row("pixel accuracy", *(_percent(score.pixel_accuracy) for score in scores.values()))
    return table


def _flip_table(result: Result) -> Table:
    agreement = result.totals.agreement
    assert agreement is not None
    table = Table("flipped pixel", "row, column", *titles_of(result).values(), "margin", "", box=box.SIMPLE)
    for flip in agreement.worst[:5]:
        verdict = "rounding" if flip.margin <= agreement.noise else "unexplained"
        place = f"{flip.row}, {flip.column}"
        table.add_row(escape(flip.image), place, flip.torch, flip.paddle, f"{flip.margin:.1e}", verdict)
    return table


def _percent(share: float) -> str:
    return "–" if share != share else f"{100 * share:.2f}"
