"""Writing a recording: arrays into safetensors files of bounded size, each once, and the index last."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files import file_digest
from converter.files.atomic import staged_folder
from converter.files.documents import check_length
from converter.files.write import write_tensors
from parity.errors import ParityInputError
from parity.networks.recorded import INDEX, VERSION

Array = np.ndarray[Any, Any]

LARGEST = 256 << 20
"""Bytes of one file, and of what waits to be written."""
RECORDED = re.compile(rf"{re.escape(INDEX)}|tensors-\d{{5,}}\.safetensors")
"""Names of a recording's files."""
SAMPLED = 256
"""Elements that are kept of a tensor in a recording of digests."""


class RecordingWriter:
    """Gathers arrays in `folder`, which is there when the block ends, whole, or not at all.

        with RecordingWriter.open(Path("reference"), keep="tensors") as writer:
            entry = writer.add(array)
            writer.index["name"] = "ref:build"

    `keep`: "tensors", or "digests", which has of each tensor but those that are added `whole` a sample.
    """

    def __init__(self, folder: Path, keep: str) -> None:
        self._folder, self._keep = folder, keep
        self._known: dict[tuple[str, tuple[int, ...], bytes, bool], str] = {}
        self._waiting: dict[str, Array] = {}
        self._files: dict[str, str] = {}
        self._tensors: dict[str, dict[str, Any]] = {}
        self.index: dict[str, Any] = {"version": VERSION, "keep": keep}

    @staticmethod
    @contextmanager
    def open(folder: Path, *, keep: str) -> Iterator[RecordingWriter]:
        """A writer for `folder`. Raises ParityInputError if anything else is there, or it cannot be written."""
        check_recording_folder(folder)
        try:
            with staged_folder(folder) as path:
                writer = RecordingWriter(path, keep)
                yield writer
                writer._finish()
        except InputError as error:
            raise ParityInputError(str(error)) from error

    def add(self, array: Array, *, whole: bool = True) -> str:
        """Keep an array, and return its entry; equal ones have the same."""
        dense = np.ascontiguousarray(array).reshape(array.shape)  # which makes 0-d arrays 1-d
        kept, whole = (dense, True) if whole or self._keep == "tensors" else (sample(dense), False)
        key = str(dense.dtype), dense.shape, hashlib.sha256(dense.tobytes()).digest(), whole
        if key not in self._known:
            entry = self._known[key] = f"t{len(self._known)}"
            name = f"tensors-{len(self._files) + 1:05d}.safetensors"
            self._tensors[entry] = {
                "file": name,
                "shape": list(dense.shape),
                "dtype": str(dense.dtype),
                "whole": whole,
            }
            self._waiting[entry] = kept.copy()
            if sum(one.nbytes for one in self._waiting.values()) >= LARGEST:
                self._flush()
        return self._known[key]

    def _flush(self) -> None:
        if self._waiting:
            name = f"tensors-{len(self._files) + 1:05d}.safetensors"
            write_tensors(self._folder / name, "safetensors", self._waiting.items())
            (self._folder / name).chmod(self._folder.stat().st_mode & 0o666)  # the library's are its user's alone
            self._files[name] = file_digest(self._folder / name)
            self._waiting = {}

    def _finish(self) -> None:
        self._flush()
        content: Mapping[str, Any] = {**self.index, "tensors": self._tensors, "files": self._files}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        try:
            check_length(text)
        except ValueError as error:
            raise ParityInputError(f"the recording could not be read again, {error}; record fewer inputs") from None
        (self._folder / INDEX).write_text(text + "\n", encoding="utf-8")


def check_recording_folder(folder: Path) -> None:
    """Raise ParityInputError if anything is at `folder` but a recording, which another may replace."""
    if folder.exists() and not (folder / INDEX).is_file():
        raise ParityInputError(f"{folder}: is there and no recording; name a new folder")
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    if others := [name for name in names if not RECORDED.fullmatch(name)]:
        raise ParityInputError(f"{folder}: holds more than a recording ({min(others)}); name a new folder")


def sample(array: Array) -> Array:
    """SAMPLED elements at evenly spread places, in order; all of a smaller array."""
    flat = array.reshape(-1)
    return flat if flat.size <= SAMPLED else flat[np.linspace(0, flat.size - 1, SAMPLED).astype(np.int64)]
