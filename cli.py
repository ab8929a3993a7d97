"""The commands: options in, exit code out. All work is in the packages."""

from __future__ import annotations

import functools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import converter
from converter.errors import ConverterError

Command = TypeVar("Command", bound=Callable[..., Any])
PathType = click.Path(path_type=Path)


def reports_errors(command: Command) -> Command:
    """Turn a user's mistake into one line and its exit code, and an interruption into exit code 1."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from parity.errors import ParityInputError

        signal.signal(signal.SIGTERM, _interrupt)
        try:
            return command(*args, **kwargs)
        except (ConverterError, ParityInputError) as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("error: interrupted; no file was changed", err=True)
            sys.exit(1)

    return wrapper  # type: ignore[return-value]


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def phases(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, told the name of each of `total` phases as it begins."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    console = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("starting", total=total)
        started = False

        def begin(phase: str) -> None:
            nonlocal started
            bar.update(task, description=phase, advance=1 if started else 0)
            started = True

        yield begin


def parse_size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`H` or `H,W` as (height, width)."""
    if value is None:
        return None
    try:
        numbers = [int(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise click.BadParameter(f"{value!r} is not H or H,W in pixels, such as 769 or 512,1024")
    return numbers[0], numbers[-1]


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
family_option = click.option("--family", metavar="NAME", help="Do not detect the family; take this one.")


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-convert official.pth out.pdparams --recurrence 2\n"
    "  ccnet-convert official.pth out.pdparams --dry-run\n"
    "\n\nExit code: 0 success, 1 the conversion failed, 2 bad input."
)
@click.argument("source", type=PathType)
@click.argument("target", type=PathType)
@family_option
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention, for the manifest.")
@click.option(
    "--dtype", type=click.Choice(converter.TARGET_DTYPES), default="float32", show_default=True, help="Of the target."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@json_option
@reports_errors
def convert(source: Path, target: Path, as_json: bool, **options: Any) -> None:
    """Convert the checkpoint SOURCE (.pth or .safetensors) to TARGET (.pdparams) for the Paddle twin.

    The written file is read back, compared bit for bit with the plan and loaded into the Paddle twin
    before it takes its name. TARGET's manifest is written beside it.
    """
    from converter.tables import print_conversion

    with phases(4) as progress:
        conversion = converter.convert_file(source, target, load_check=_load_into_twin, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(conversion.to_json()))
    else:
        print_conversion(conversion, source, target)


def _load_into_twin(plan: converter.Plan, tensors: dict[str, Any]) -> None:
    from models_paddle import build_uninitialised, load_weights

    model = build_uninitialised(plan.family.name, num_classes=plan.num_classes, recurrence=0, depth=plan.depth)
    try:
        load_weights(model, tensors)
    except ValueError as error:
        raise ConverterError(f"the Paddle twin refuses the converted weights: {error}") from None


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity\n"
    "  ccnet-parity official.pth out.pdparams --recurrence 2\n"
    "  ccnet-parity official.pth out.pdparams --image street.png --input-size 513,1025\n"
    "\n\nExit code: 0 agreement, 1 the frameworks disagree, 2 bad input."
)
@click.argument("source", type=PathType, required=False)
@click.argument("target", type=PathType, required=False)
@click.option(
    "--input-size", callback=parse_size, metavar="H[,W]", help="One input of this size instead of the default ones."
)
@click.option("--image", type=PathType, help="A picture as input, preprocessed as the family says.")
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention. [default: TARGET's or 2]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of inputs and stand-in weights.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@family_option
@json_option
@reports_errors
def parity(source: Path | None, target: Path | None, as_json: bool, **options: Any) -> None:
    """Compare the torch twin with SOURCE's weights and the Paddle twin with TARGET's, in float32 and float64.

    Without files, stand-in weights are made and converted. No checkpoint contains its recurrence: unless
    given here or when TARGET was converted, it is 2.
    """
    from parity.command import compare
    from parity.tables import print_report

    if (source is None) != (target is None):
        raise click.UsageError("give SOURCE and TARGET, or neither")
    with phases(3) as progress:
        report = compare(source, target, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        print_report(report)
    sys.exit(0 if report else 1)
