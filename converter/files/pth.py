"""Reader of `.pth` files, the zip format and the one before torch 1.6, memory-mapped, without torch."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files.archive import read_archive
from converter.files.bfloat16 import widen
from converter.files.legacy import Locate, read_legacy
from converter.files.memory import Memory
from converter.files.resolve import resolve
from converter.files.torch_pickle import Tensor
from converter.files.unpickle import one_line


def read_pth(path: Path) -> Any:
    """The object saved in `path`, its tensors as (read-only, where possible memory-mapped) NumPy arrays.

    bfloat16 tensors become float32, exactly. Raises InputError for anything that is not such a file,
    is damaged, or names a global that weights do not need.
    """
    return read_with_notes(path)[0]


def read_with_notes(path: Path) -> tuple[Any, tuple[str, ...]]:
    """As `read_pth`, and what is to be said of the file."""
    memory = Memory(path)
    notes: tuple[str, ...] = ()
    with path.open("rb") as file:
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if buffer[:4] == b"PK\x03\x04":
            value, locate, notes = read_archive(path, file, buffer, memory)
        else:
            value, locate = read_legacy(path, file, buffer)

        def convert(item: Any) -> Any:
            return _view(item, locate, path, memory) if isinstance(item, Tensor) else item

        return resolve(value, convert), notes


def _view(tensor: Tensor, locate: Locate, path: Path, memory: Memory) -> np.ndarray[Any, Any]:
    storage, stored = tensor.storage, tensor.storage.kind.stored
    name = f"a tensor of shape {tensor.shape} in storage {one_line(storage.key)}"
    end = storage.start + storage.count
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    elements = math.prod(tensor.shape)
    if elements and tensor.offset + reach >= storage.count:
        raise InputError(f"{path}: {name} reaches outside it")
    if elements > storage.count:
        memory.take(elements * stored.itemsize, f"{name}, which repeats it,")
    if storage.kind.dtype == "bfloat16":
        memory.take(elements * 4, name)
    buffer, position = locate(storage.key, end * stored.itemsize)
    if position + end * stored.itemsize > len(buffer):
        raise InputError(f"{path}: truncated in storage {one_line(storage.key)}")
    flat = np.frombuffer(buffer, stored, storage.count, position + storage.start * stored.itemsize)
    strides = [stride * stored.itemsize for stride in tensor.strides]
    try:
        view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides, writeable=False)
    except ValueError as error:
        raise InputError(f"{path}: {name} is not one that NumPy can hold ({error})") from None
    return widen(view) if storage.kind.dtype == "bfloat16" else view
