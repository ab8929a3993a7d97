"""Where the commands write."""

from __future__ import annotations

from pathlib import Path

from converter.errors import InputError


def make_folder(path: Path) -> None:
    """Create `path` and what is above it. Raises InputError if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot make this folder: {error.strerror}") from None
