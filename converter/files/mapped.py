"""A file read through its mapping: what is large is not copied."""

from __future__ import annotations

import io
import mmap
from pathlib import Path

from converter.errors import InputError
from converter.files.unpickle import Whence

LARGE = 1 << 16
"""Bytes from which on a read gives a view of the mapping."""


class MappedFile:
    """The file at `path`, for reading. The views that it gives keep it mapped. Raises InputError if it is empty."""

    def __init__(self, path: Path) -> None:
        if not path.stat().st_size:
            raise InputError(f"{path}: is empty; download or copy it again")
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)
        self.readline, self.tell = self._map.readline, self._map.tell

    def read(self, nbytes: int = -1) -> bytes | memoryview:
        """The next `nbytes`, or fewer where the file ends: a copy of few, a view of many."""
        if nbytes < LARGE:
            return self._map.read(nbytes)
        start = self.tell()
        part = self._view[start : start + nbytes]
        self.seek(start + len(part))
        return part

    def seek(self, offset: int, whence: Whence = io.SEEK_SET) -> int:
        """Go to a place, and say where that is (which a mapping itself does from Python 3.13 on)."""
        self._map.seek(offset, whence)
        return self.tell()
