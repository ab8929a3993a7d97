"""What torch pickles: the exact names that weights need, and what stands for each. No torch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.files.arrays import ARRAYS, PickledArray
from converter.files.builtin import BUILTIN
from converter.files.documents import DIMENSIONS
from converter.files.unpickle import AllowedGlobals, one_line

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


ELEMENT_DTYPES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "bfloat16",
    **{f"{sign}int{8 * size}": f"<{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)},
    "bool": "|b1",
}
"""torch's dtypes that NumPy has, and bfloat16."""
OTHER_WORDS = (
    *("complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
    *("quint8", "qint8", "qint32", "quint4x2", "quint2x4", "bits8", "strided", "per_tensor_affine"),
    *("per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric", "per_channel_affine_float_qparams"),
)
"""What else torch pickles by its name alone: a word, to us."""


@dataclass(frozen=True)
class StorageType:
    dtype: str

    @property
    def stored(self) -> np.dtype[Any]:
        """The NumPy dtype of the bytes in the file; NumPy has no bfloat16."""
        return np.dtype("<u2" if self.dtype == "bfloat16" else self.dtype)


@dataclass(frozen=True, eq=False)
class Storage:
    """Elements `[start, start + count)` of the storage called `key`."""

    kind: StorageType
    key: str
    start: int
    count: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor as pickled: a strided view of a storage, all in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor without a storage, or with a stride too few")
    if len(shape) > DIMENSIONS:  # NumPy itself crashes on thousands
        raise pickle.UnpicklingError(f"a tensor of {len(shape)} dimensions, of which NumPy's arrays have {DIMENSIONS}")
    return Tensor(storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides)))


def _rebuild_untyped(
    storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any, hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    """A tensor of a storage of bytes, as dtypes newer than the storages' names are saved."""
    if not isinstance(storage, Storage) or storage.kind != UNTYPED:
        raise pickle.UnpicklingError("a tensor without a storage of bytes")
    if not isinstance(dtype, str) or dtype not in ELEMENT_DTYPES:
        raise pickle.UnpicklingError("a tensor of a dtype that NumPy lacks")
    kind = StorageType(ELEMENT_DTYPES[dtype])
    size = kind.stored.itemsize
    if storage.start % size:
        raise pickle.UnpicklingError("a tensor between two elements of its storage")
    typed = Storage(kind, storage.key, storage.start // size, storage.count // size)
    return _rebuild_tensor(typed, offset, shape, strides)


def _count(value: Any) -> int:
    """A size, offset or stride; a hostile file may have an integer of any length there, or any object."""
    if not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise pickle.UnpicklingError("a tensor's size, offset or stride is negative, too large or not a number")
    return value


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _rebuild_with_attributes(rebuild: Any, _type: Any, arguments: Any, _attributes: Any) -> Any:
    if rebuild not in REBUILDS.values():
        raise pickle.UnpicklingError("a tensor that is made by something else")
    return rebuild(*arguments)


def _name_device(*where: Any) -> str:
    if not all(isinstance(part, (str, int)) for part in where):
        raise pickle.UnpicklingError("a device without a name")
    return ":".join(map(str, where))


def _name_layout(name: Any) -> str:
    return one_line(name) if isinstance(name, str) else "strided"


UNTYPED = StorageType("|u1")
REBUILDS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_untyped,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}
ALLOWED: AllowedGlobals = {
    **BUILTIN,
    **ARRAYS,
    **REBUILDS,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_with_attributes,
    ("torch", "Tensor"): "torch.Tensor",
    ("torch.nn.parameter", "Parameter"): _rebuild_parameter,
    ("torch.serialization", "_get_layout"): _name_layout,
    ("torch", "Size"): tuple,
    ("torch", "device"): _name_device,
    ("torch.storage", "UntypedStorage"): UNTYPED,
    **{("torch", name): name for name in (*ELEMENT_DTYPES, *OTHER_WORDS)},
    **{("torch", name): StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
}

WEIGHTS = (Tensor, PickledArray)
"""What stands for a tensor."""


def make_storage(pid: Any) -> Storage:
    """The storage that a persistent id names."""
    tag, kind, key, _device, count, *view = pid
    if tag != "storage" or not isinstance(kind, StorageType) or not isinstance(key, str):
        raise pickle.UnpicklingError("a persistent id that is not a storage's")
    if view and view[0] is not None:
        _, start, count = view[0]
        return Storage(kind, key, _count(start), _count(count))
    return Storage(kind, key, 0, _count(count))
