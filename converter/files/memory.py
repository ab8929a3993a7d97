"""How much memory a file may ask for: a few bytes can declare gigabytes."""

from __future__ import annotations

from pathlib import Path

from converter.errors import InputError

SPARE = 64 << 20


class Memory:
    """What values made from the file at `path` may take in all: twice its size, and some."""

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, path.stat().st_size
        self._left = 2 * self._size + SPARE

    def take(self, nbytes: int, what: str) -> None:
        """Count `nbytes`. Raises InputError, before anything is taken, if that is more than is left."""
        self._left -= nbytes
        if self._left < 0:
            size = f"{self._size / 1e6:.1f} MB" if self._size > 1e5 else f"{self._size} bytes"
            raise InputError(f"{self._path}: {what} would take {nbytes / 1e6:.0f} MB, the file has {size}")
