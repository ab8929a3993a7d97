"""Where tables are printed, and what is let through to a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.errors import MarkupError
from rich.text import Text

UNLIMITED = 160
"""Columns for a pipe or file, whose reader can scroll."""
LONGEST = 10_000
"""Characters of a line or cell that are shown."""


class PlainConsole(Console):
    """A console on which no name from a file can do anything: control characters and line breaks are shown as escapes,
    colons are no emoji, and what is not well-formed markup is text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's, of what can be shown."""
        shown = printable(text)
        try:
            return super().render_str(shown, **options)
        except MarkupError:
            return super().render_str(shown, **{**options, "markup": False})


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
