"""Reader of `.pth` files, the zip format and the one before torch 1.6, memory-mapped, without torch.

Sources of the formats: pytorch/pytorch torch/serialization.py (`_save`, `_legacy_save`).
"""

from __future__ import annotations

import math
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from converter.errors import InputError
from converter.files.bfloat16 import widen
from converter.files.foreign import load_weights
from converter.files.unpickle import AllowedGlobals, one_line

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip entry: lengths of its name and extra field
MAX_EXPANDED = 1 << 28
"""Elements of a tensor that repeats its storage's (stride 0). A file of a few bytes could claim any number."""

STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


@dataclass(frozen=True)
class _StorageType:
    dtype: str

    @property
    def stored(self) -> np.dtype[Any]:
        """The NumPy dtype of the bytes in the file; NumPy has no bfloat16."""
        return np.dtype("<u2" if self.dtype == "bfloat16" else self.dtype)


@dataclass(frozen=True)
class _Storage:
    """Elements `[start, start + count)` of the storage called `key`."""

    kind: _StorageType
    key: str
    start: int
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A tensor as pickled: a strided view of a storage, all in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor without a storage, or with a stride too few")
    return _Tensor(storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides)))


def _count(value: Any) -> int:
    """A size, offset or stride; a hostile file may have an integer of any length there, or any object."""
    if not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise pickle.UnpicklingError("a tensor's size, offset or stride is negative, too large or not a number")
    return value


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


ALLOWED: AllowedGlobals = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    ("torch", "device"): lambda *where: ":".join(map(str, where)),
    **{("torch", name): _StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
}


def read_pth(path: Path) -> Any:
    """The object saved in `path`, its tensors as (read-only, where possible memory-mapped) NumPy arrays.

    bfloat16 tensors become float32, exactly. Raises InputError for anything that is not such a file,
    is damaged, or names a global that weights do not need.
    """
    with path.open("rb") as file:
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        is_zip = buffer[:4] == b"PK\x03\x04"
        value, locate = _read_zip(path, file, buffer) if is_zip else _read_legacy(path, file, buffer)
        return _resolve(value, lambda tensor: _view(tensor, locate, path))


Locate = Callable[[str, int], tuple[Any, int]]


def _read_zip(path: Path, file: IO[bytes], buffer: mmap.mmap) -> tuple[Any, Locate]:
    with _damage(path):
        archive = zipfile.ZipFile(file)
        entries = {info.filename.split("/", 1)[-1]: info for info in archive.infolist()}
        byte_order = archive.read(entries["byteorder"]) if "byteorder" in entries else b"little"
    if "data.pkl" not in entries:
        raise InputError(f"{path}: a zip archive, but not one that torch.save wrote (no data.pkl)")
    if byte_order != b"little":
        raise InputError(f"{path}: saved on a big-endian machine; save it again on a little-endian one")
    compressed: dict[str, bytes] = {}

    def locate(key: str, nbytes: int) -> tuple[Any, int]:
        info = entries.get(f"data/{key}")
        if info is None or info.file_size < nbytes:
            found = 0 if info is None else info.file_size
            raise InputError(f"{path}: storage {one_line(key)} has {found} bytes, its tensors need {nbytes}")
        with _damage(path), archive.open(info) as entry:  # opening checks the entry's own header
            if info.compress_type != zipfile.ZIP_STORED:
                if key not in compressed:
                    compressed[key] = entry.read()
                return compressed[key], 0
            name_length, extra_length = LOCAL_HEADER.unpack_from(buffer, info.header_offset)
        return buffer, info.header_offset + 30 + name_length + extra_length

    with _damage(path), archive.open(entries["data.pkl"]) as stream:
        return load_weights(stream, ALLOWED, path=str(path), persistent_load=_storage), locate


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile and the decompressors raise many kinds
        raise InputError(f"{path}: truncated or damaged zip archive ({one_line(str(error))})") from None


def _read_legacy(path: Path, file: IO[bytes], buffer: mmap.mmap) -> tuple[Any, Locate]:
    def load(persistent_load: Callable[[Any], Any] | None = None) -> Any:
        return load_weights(file, ALLOWED, path=str(path), persistent_load=persistent_load)

    item_sizes: dict[str, int] = {}

    def storage(pid: Any) -> _Storage:
        found = _storage(pid)
        item_sizes[found.key] = found.kind.stored.itemsize
        return found

    if load() != LEGACY_MAGIC:
        raise InputError(f"{path}: a pickle, but not one that torch.save wrote")
    version, system = load(), load()
    if version != 1001 or not isinstance(system, dict) or not system.get("little_endian", True):
        raise InputError(f"{path}: a legacy torch file of an unsupported kind; save it again with torch")
    value, keys = load(storage), load()
    offsets: dict[str, tuple[int, int]] = {}
    position = file.tell()
    for key in keys if isinstance(keys, list) else [None]:
        if not isinstance(key, str) or key not in item_sizes or position + 8 > len(buffer):
            raise InputError(f"{path}: truncated or damaged in its storage table")
        (count,) = struct.unpack_from("<Q", buffer, position)
        nbytes = count * item_sizes[key]
        offsets[key] = (position + 8, nbytes)
        position += 8 + nbytes
    if position > len(buffer):
        raise InputError(f"{path}: truncated or damaged in its last storage")

    def locate(key: str, nbytes: int) -> tuple[Any, int]:
        offset, available = offsets.get(key, (0, 0))
        if available < nbytes:
            raise InputError(f"{path}: storage {one_line(key)} has {available} bytes, its tensors need {nbytes}")
        return buffer, offset

    return value, locate


def _storage(pid: Any) -> _Storage:
    tag, kind, key, _device, count, *view = pid
    if tag != "storage" or not isinstance(kind, _StorageType) or not isinstance(key, str):
        raise pickle.UnpicklingError("a persistent id that is not a storage's")
    if view and view[0] is not None:
        _, start, count = view[0]
        return _Storage(kind, key, _count(start), _count(count))
    return _Storage(kind, key, 0, _count(count))


def _view(tensor: _Tensor, locate: Locate, path: Path) -> np.ndarray[Any, Any]:
    storage, stored = tensor.storage, tensor.storage.kind.stored
    name = f"a tensor of shape {tensor.shape} in storage {one_line(storage.key)}"
    end = storage.start + storage.count
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    elements = math.prod(tensor.shape)
    if elements and tensor.offset + reach >= storage.count:
        raise InputError(f"{path}: {name} reaches outside it")
    if elements > max(storage.count, MAX_EXPANDED):
        raise InputError(f"{path}: {name} repeats it too often")
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


def _resolve(value: Any, view: Callable[[_Tensor], np.ndarray[Any, Any]]) -> Any:
    """`value` with every pickled tensor in its (nested) dictionaries replaced by its array.

    Each dictionary is visited once: a hostile file may hold one in itself, or a billion times.
    """
    if isinstance(value, _Tensor):
        return view(value)
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if isinstance(current, dict) and id(current) not in seen:
            seen.add(id(current))
            for key, item in current.items():
                if isinstance(item, _Tensor):
                    current[key] = view(item)
                pending.append(item)
    return value
