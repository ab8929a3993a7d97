"""A user's own modules, named by an option: they are trusted, and what fails in them is one line."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from converter.errors import InputError


def import_modules(names: Sequence[str]) -> None:
    """Import modules from here or from the environment. Raises InputError, naming the line, if one cannot be."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a user's module may raise anything
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            raise InputError(f"--import {name}: cannot import it ({type(error).__name__}: {text}, {where})") from None
