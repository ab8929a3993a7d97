"""The format of torch before 1.6: pickles one after the other, then the storages.

Source: pytorch/pytorch torch/serialization.py (`_legacy_save`).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from converter.errors import InputError
from converter.files.foreign import load_weights
from converter.files.torch_pickle import ALLOWED, WEIGHTS, Storage, make_storage
from converter.files.unpickle import one_line

MAGIC = 0x1950A86A20F9469CFC6C
Locate = Callable[[str, int], tuple[Any, int]]
"""From a storage's key and the bytes needed of it to a buffer and where in it the storage begins."""


def read_legacy(path: Path, file: IO[bytes], buffer: mmap.mmap) -> tuple[Any, Locate]:
    """The object in a file of torch before 1.6, and where its storages are. Raises InputError if it is damaged."""

    def load(persistent_load: Callable[[Any], Any] | None = None) -> Any:
        return load_weights(file, ALLOWED, path=str(path), weights=WEIGHTS, persistent_load=persistent_load)

    item_sizes: dict[str, int] = {}

    def storage(pid: Any) -> Storage:
        found = make_storage(pid)
        item_sizes[found.key] = found.kind.stored.itemsize
        return found

    if load() != MAGIC:
        raise InputError(f"{path}: a pickle, but not one that torch.save wrote")
    version, system = load(), load()
    if version != 1001 or not isinstance(system, dict) or not system.get("little_endian", True):
        raise InputError(f"{path}: a legacy torch file of an unsupported kind; save it again with torch")
    value, keys = load(storage), load()
    offsets = _find_storages(path, buffer, file.tell(), keys if isinstance(keys, list) else [None], item_sizes)

    def locate(key: str, nbytes: int) -> tuple[Any, int]:
        offset, available = offsets.get(key, (0, 0))
        if available < nbytes:
            raise InputError(f"{path}: storage {one_line(key)} has {available} bytes, its tensors need {nbytes}")
        return buffer, offset

    return value, locate


def _find_storages(
    path: Path, buffer: mmap.mmap, position: int, keys: list[Any], item_sizes: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """Position and size in bytes of each storage; the first begins at `position`."""
    offsets: dict[str, tuple[int, int]] = {}
    for key in keys:
        if isinstance(key, str) and key in offsets:
            raise InputError(f"{path}: holds two storages called {one_line(key)}; save it again with torch")
        if not isinstance(key, str) or key not in item_sizes or position + 8 > len(buffer):
            raise InputError(f"{path}: truncated or damaged in its storage table; download or copy it again")
        (count,) = struct.unpack_from("<Q", buffer, position)
        nbytes = count * item_sizes[key]
        offsets[key] = (position + 8, nbytes)
        position += 8 + nbytes
    if position > len(buffer):
        raise InputError(f"{path}: truncated or damaged in its last storage; download or copy it again")
    return offsets
