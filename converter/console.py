"""Where tables are printed, and what is let through to a terminal."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.containers import Lines
from rich.errors import MarkupError
from rich.table import Table
from rich.text import Text

UNLIMITED, NARROW = 160, 80
"""Columns for a pipe or file, whose reader can scroll, and of a terminal from which there is room for sentences in a
table."""
LONGEST = 2000
"""Characters of a line or cell that are shown."""


class Folded(Text):
    """Text of which a word that is longer than a line, as a dotted name is, goes on in the next line after a dot or
    the like."""

    def wrap(self, console: Console, width: int, **options: Any) -> Lines:
        """As rich's, which breaks such a word anywhere."""
        breaks = [place for word in re.finditer(r"\S+", self.plain) for place in _breaks(word, width)]
        if options.get("overflow") != "fold" or options.get("no_wrap") or not breaks:
            return super().wrap(console, width, **options)
        return Text("\n").join(self.divide(breaks)).wrap(console, width, **options)


def _breaks(word: re.Match[str], width: int) -> list[int]:
    """Where in the text a new line begins within `word`, if it is longer than `width`."""
    places, begin = [], word.start()
    for part in re.finditer(r"[^./,-]*[./,-]*", word.group()) if len(word.group()) > width else ():
        start, end = (word.start() + place for place in part.span())
        if end - begin > width and start > begin:
            places.append(start)
            begin = start
    return places


class PlainConsole(Console):
    """A console on which no name from a file can do anything: control characters and line breaks are shown as escapes,
    colons are no emoji, and what is not well-formed markup is text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """As rich's; but a terminal, which would break a long line within a word, is given lines that fit, and a name
        that is longer than its column goes on in the next line."""
        for column in (column for thing in objects if isinstance(thing, Table) for column in thing.columns):
            column.overflow = column.overflow if column.no_wrap else "fold"
        super().print(*objects, soft_wrap=soft_wrap and not self.is_terminal, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's, of what can be shown."""
        shown = printable(text)
        try:
            made = super().render_str(shown, **options)
        except MarkupError:
            made = super().render_str(shown, **{**options, "markup": False})
        return Folded(made.plain, made.style, justify=made.justify, overflow=made.overflow, spans=made.spans)


def printable(text: str) -> str:
    """`text`, shortened, with escapes for what cannot be shown, moves the cursor, changes colours or breaks a line."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def wide_console() -> Console:
    """Standard output: a terminal at its own width, anything else wide enough for every table."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=UNLIMITED)
