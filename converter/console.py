"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console

UNLIMITED = 160
"""Columns for a pipe or file, whose reader can scroll."""


def wide_console() -> Console:
    """Standard output: a terminal at its own width, anything else wide enough for every table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=UNLIMITED, highlight=False)
