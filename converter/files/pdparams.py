"""Reader and writer of `.pdparams`: a pickled dictionary of NumPy arrays, without Paddle.

Source of the format: PaddlePaddle/Paddle python/paddle/framework/io.py (`_legacy_save`, `_pack_loaded_dict`).
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from converter.errors import InputError
from converter.files.unpickle import AllowedGlobals, load_plain

PARAMETER_NAMES = "StructuredToParameterName@@"
SPLIT_ARRAYS = "UnpackBigParamInfor@@"
PLAIN_KINDS = frozenset("biuf")


class _Dtype:
    """A NumPy dtype as pickled: its code, then (by BUILD) its byte order. Numbers only."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.dtype = np.dtype(str(code))
        if not _is_plain(self.dtype):
            raise pickle.UnpicklingError(f"array dtype {code!r} is not a number's")

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """An array as pickled: `_reconstruct`, then BUILD with (version, shape, dtype, fortran, bytes)."""

    array: np.ndarray[Any, Any] | None = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        self.array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    result = _Array()
    result.__setstate__((1, shape, dtype, order == "F", data))
    return result


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in an encoding that pickle does not use")
    return str(text).encode("latin1")


def _no_bytes() -> bytes:
    return b""


ALLOWED: AllowedGlobals = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,  # the data of an empty array in protocol 2
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


def read_pdparams(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Structured name -> array. Raises InputError if the file is not such a dictionary or is damaged."""
    with path.open("rb") as file:
        value = load_plain(file, ALLOWED, path=str(path))
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, not a dictionary of parameters")
    value.pop(PARAMETER_NAMES, None)
    split = value.pop(SPLIT_ARRAYS, {})
    arrays = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise InputError(f"{path}: a key is a {type(name).__name__}, not a string")
        if not isinstance(item, _Array) or item.array is None:
            kind = "damaged array" if isinstance(item, _Array) else type(item).__name__
            raise InputError(f"{path}: entry {name!r} is a {kind}, not an array")
        arrays[name] = item.array
    try:
        for name, info in split.items():
            parts = [arrays.pop(part) for part in info["slices"]]
            arrays[name] = np.concatenate(parts).reshape(info["OriginShape"])
    except (AttributeError, LookupError, TypeError, ValueError):
        raise InputError(f"{path}: its table of split arrays ({SPLIT_ARRAYS}) is damaged") from None
    return arrays


def write_pdparams(file: IO[bytes], tensors: Iterable[tuple[str, np.ndarray[Any, Any]]]) -> None:
    """Stream `(name, array)` pairs to `file` as a protocol-4 pickle that `paddle.load` reads.

    One array is in memory at a time. The opcodes are written out because pickle itself keeps every
    array it has written alive, and names NumPy 2's private modules, which NumPy 1 cannot import;
    NumPy 2 reads the names of NumPy 1.
    """
    file.write(pickle.PROTO + bytes([4]) + pickle.EMPTY_DICT)
    for name, array in tensors:
        file.write(_text(name))
        _write_array(file, array)
        file.write(pickle.SETITEM)
        del array  # or it would live on while the next one is made
    file.write(pickle.STOP)


def _write_array(file: IO[bytes], array: np.ndarray[Any, Any]) -> None:
    if not _is_plain(array.dtype):
        raise TypeError(f"cannot store an array of dtype {array.dtype}")
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    ndarray = _global("numpy", "ndarray") + pickle.BININT1 + b"\0" + pickle.TUPLE1 + _bytes(b"b") + pickle.TUPLE3
    file.write(_global("numpy.core.multiarray", "_reconstruct") + ndarray + pickle.REDUCE)
    file.write(pickle.MARK + _integer(1) + _tuple(map(_integer, array.shape)))
    file.write(_dtype(array.dtype) + pickle.NEWFALSE + pickle.BINBYTES8 + struct.pack("<Q", data.nbytes))
    file.write(data.data)
    file.write(pickle.TUPLE + pickle.BUILD)


def _is_plain(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in PLAIN_KINDS and dtype.itemsize <= 8


def _dtype(dtype: np.dtype[Any]) -> bytes:
    order = "|" if dtype.itemsize == 1 else "<"
    code = f"{dtype.kind}{dtype.itemsize}"
    made = _text(code) + pickle.NEWFALSE + pickle.NEWTRUE + pickle.TUPLE3 + pickle.REDUCE
    state = [_integer(3), _text(order), *[pickle.NONE] * 3, _integer(-1), _integer(-1), _integer(0)]
    return _global("numpy", "dtype") + made + _tuple(state) + pickle.BUILD


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode("ascii")


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _bytes(data: bytes) -> bytes:
    return pickle.SHORT_BINBYTES + bytes([len(data)]) + data


def _integer(value: int) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1]  # without the opcodes PROTO and STOP around it


def _tuple(items: Iterable[bytes]) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE
