"""No name from a file does anything to a terminal."""

from __future__ import annotations

import io

import pytest
from rich.table import Table

from converter.console import LONGEST, PlainConsole, printable

NAMES = {
    "a\x1b]0;title\x07b": r"a\x1b]0;title\x07b",
    "a\x1b[31mred": r"a\x1b[31mred",
    "line\nbreak\r": r"line\nbreak\r",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\x9b2J": r"\x9b2J",
    "\udcff": r"\udcff",
    "[/x]": "[/x]",
    "[/]": "[/]",
    ":heart:": ":heart:",
    "plain … × ü": "plain … × ü",
}


def show(thing: object) -> str:
    stream = io.StringIO()
    PlainConsole(file=stream, width=80, force_terminal=True, color_system="truecolor").print(thing, soft_wrap=True)
    return stream.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(name: str) -> None:
    assert show(name) == f"{NAMES[name]}\n"
    table = Table(box=None)
    table.add_column("layer")
    table.add_row(name)
    assert NAMES[name] in show(table)


def test_long_ones_are_shortened() -> None:
    assert len(printable("x" * 5_000_000)) == LONGEST + 1
    assert len(show("x" * 5_000_000).replace("\n", "")) == LONGEST + 1


def test_a_terminal_breaks_no_word_and_a_pipe_no_line() -> None:
    line = "word " * 30 + "end"
    assert all(len(part) <= 80 for part in show(line).splitlines())
    assert set(show(line).split()) == {"word", "end"}
    stream = io.StringIO()
    PlainConsole(file=stream, width=80, force_terminal=False).print(line, soft_wrap=True)
    assert stream.getvalue() == f"{line}\n"


def test_a_name_that_is_too_long_goes_on_after_a_dot() -> None:
    table = Table("layer", "figure", box=None)
    table.columns[1].no_wrap = True
    table.add_row("[bold]backbone[/bold].stage{1…4}.{0…22}.reduce.conv", "1.0e-05")
    stream = io.StringIO()
    PlainConsole(file=stream, width=32).print(table)
    rows = [line.split() for line in stream.getvalue().splitlines()]
    assert rows == [["layer", "figure"], ["backbone.stage{1…4}.", "1.0e-05"], ["{0…22}.reduce.conv"]]
