"""What the commands share: errors on one line, a progress bar, sizes, and the options that all have."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ccnet_cli.interruption import INTERRUPTION
from converter import Reading
from converter.console import PlainConsole
from converter.errors import ConverterError, InputError
from converter.files.atomic import remove_unfinished
from twins.processor import configure_processor

Command = TypeVar("Command", bound=Callable[..., Any])
PathType = click.Path(path_type=Path)
INTERRUPTION.removals.append(remove_unfinished)

FRAMEWORKS = ("torch", "paddle")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
family_option = click.option("--family", metavar="NAME", help="Do not detect the family; take this one.")


def reading_options(command: Command) -> Command:
    """The options of how a checkpoint is read, given to the command as one `reading`."""

    @click.option(
        "--weights-entry",
        metavar="NAME",
        help="The set of weights to take from a file with several, such as ema.model.",
    )
    @click.option("--ignore", multiple=True, metavar="GLOB", help="Leave these keys of the file out.")
    @click.option("--without-auxiliary", is_flag=True, help="Leave the auxiliary head out, which only training needs.")
    @functools.wraps(command)
    def wrapper(
        *args: Any, weights_entry: str | None, ignore: tuple[str, ...], without_auxiliary: bool, **kwargs: Any
    ) -> Any:
        reading = Reading(entry=weights_entry, ignore=ignore, without_auxiliary=without_auxiliary)
        return command(*args, reading=reading, **kwargs)

    return wrapper  # type: ignore[return-value]


def reports_errors(interrupted: str = "interrupted") -> Callable[[Command], Command]:
    """Turn a user's mistake, and what the system refuses, into one line and its exit code; an interruption into
    `interrupted` and 130 (SIGINT) or 143 (SIGTERM)."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            configure_processor()
            INTERRUPTION.install(interrupted)
            try:
                check_files(kwargs.values())
                return command(*args, **kwargs)
            except (Exception, KeyboardInterrupt) as error:
                remove_unfinished()
                code, line = _explain(error, interrupted)
                if INTERRUPTION.number:  # whatever was made of it on the way
                    code, line = INTERRUPTION.exit_code, interrupted
                elif not code:
                    raise
            say_error(line)
            sys.exit(code)

        return wrapper  # type: ignore[return-value]

    return decorate


def say_error(line: str) -> None:
    """One line on standard error; on a terminal, whose edge would break a word, as many as it takes."""
    PlainConsole(stderr=True).print(f"error: {line}", soft_wrap=True, markup=False)


def _explain(error: BaseException, interrupted: str) -> tuple[int, str]:
    """Exit code and line for a user's mistake, what the system refuses, or an interruption; code 0 for what is neither,
    or is click's to show."""
    from cityscapes.errors import EvaluationError
    from parity.errors import ParityInputError

    if isinstance(error, ModuleNotFoundError) and error.name in FRAMEWORKS:
        return 2, f"{error.name} is not installed, which this needs; see ccnet-parity doctor"
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTION.exit_code, interrupted
    if isinstance(error, ConverterError | EvaluationError | ParityInputError):
        return error.exit_code, str(error)
    if isinstance(error, OSError):
        name = error.filename2 or error.filename
        return 2, f"{f'{name}: ' if name else ''}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return 2, "there is not enough memory; give a smaller input, or leave other programs out"
    if isinstance(error, EOFError):  # which click would take for the end of what is typed
        return 2, f"a file ends too early{f': {error}' if str(error) else ''}"
    return 0, ""


def check_files(values: Iterable[Any]) -> None:
    """Raise InputError for a path among `values` that is a FIFO, a device or a socket: reading one may never end."""
    for path in values:
        try:
            special = isinstance(path, Path) and path.exists() and not (path.is_file() or path.is_dir())
        except OSError as error:  # a name that is too long, a folder that may not be searched
            raise InputError(f"{path}: {error.strerror}") from None
        if special:
            raise InputError(f"{path}: is not a regular file")


def command_line() -> str:
    """The line by which the command was called, as a shell takes it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


@contextmanager
def phases() -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, told the name of each phase as it begins."""
    columns = (SpinnerColumn(), TextColumn("{task.completed}"), TextColumn("{task.description}", markup=False))
    console = PlainConsole(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("starting", total=None)
        started = False

        def begin(phase: str) -> None:
            nonlocal started
            INTERRUPTION.check()
            bar.update(task, description=phase, advance=1 if started else 0)
            started = True

        yield begin


def say_above(sentence: str) -> None:
    """On standard error, above a progress bar, which `click.echo` would write into."""
    print(sentence, file=sys.stderr)


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
