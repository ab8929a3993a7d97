"""Reader (memory-mapped) and writer of `.pdparams`: a pickled dictionary of NumPy arrays, without Paddle.

Source of the format: PaddlePaddle/Paddle python/paddle/framework/io.py (`_legacy_save`, `_pack_loaded_dict`).
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from converter.errors import InputError
from converter.files.arrays import ARRAYS, PickledArray, is_plain
from converter.files.bfloat16 import widen_paddle
from converter.files.builtin import BUILTIN
from converter.files.foreign import load_weights
from converter.files.mapped import MappedFile
from converter.files.memory import Memory
from converter.files.resolve import resolve
from converter.files.unpickle import AllowedGlobals, check_key

PARAMETER_NAMES = "StructuredToParameterName@@"
SPLIT_ARRAYS = "UnpackBigParamInfor@@"
ALLOWED: AllowedGlobals = {**BUILTIN, **ARRAYS}


def read_pdparams(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Structured name -> array. Raises InputError if the file is not such a dictionary or is damaged."""
    value = read_nested(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, not a dictionary of parameters")
    for name, item in value.items():
        if not isinstance(name, str):
            raise InputError(f"{path}: a key is a {type(name).__name__}, not a string")
        if not isinstance(item, np.ndarray):
            raise InputError(f"{path}: entry {name!r} is a {type(item).__name__}, not an array")
    return value


def read_nested(path: Path) -> Any:
    """The object saved in `path`, its arrays and tensors as NumPy arrays, bfloat16 as float32, exactly.

    What Paddle keeps beside them (its own names, the table of split arrays) is taken out of each dictionary.
    Raises InputError if the file is damaged.
    """
    value = load_weights(MappedFile(path), ALLOWED, path=str(path), weights=(PickledArray, tuple))
    memory = Memory(path)

    def convert(item: Any) -> Any:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):  # a tensor in a nested dictionary
            item = item[1].array if isinstance(item[1], PickledArray) and item[1].array is not None else item
        if isinstance(item, np.ndarray) and item.dtype == np.uint16:
            memory.take(2 * item.nbytes, "its bfloat16 values")
            return widen_paddle(item)
        return item

    return resolve(value, convert, lambda arrays: _join_split(path, arrays))


def _join_split(path: Path, arrays: dict[Any, Any]) -> None:
    """Join what protocols below 4 could not hold in one piece."""
    arrays.pop(PARAMETER_NAMES, None)
    split = arrays.pop(SPLIT_ARRAYS, {})
    try:
        for name, info in split.items():
            parts = [arrays.pop(part).array for part in info["slices"]]
            joined = np.concatenate([part.reshape(-1) for part in parts]).reshape(info["OriginShape"])
            arrays[check_key(name)] = joined
    except (AttributeError, LookupError, TypeError, ValueError):
        raise InputError(f"{path}: its table of split arrays ({SPLIT_ARRAYS}) is damaged") from None


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
    if not is_plain(array.dtype) or array.dtype == np.uint16:  # which Paddle would read as bfloat16
        raise TypeError(f"cannot store an array of dtype {array.dtype}")
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    ndarray = _global("numpy", "ndarray") + pickle.BININT1 + b"\0" + pickle.TUPLE1 + _bytes(b"b") + pickle.TUPLE3
    file.write(_global("numpy.core.multiarray", "_reconstruct") + ndarray + pickle.REDUCE)
    file.write(pickle.MARK + _integer(1) + _tuple(map(_integer, array.shape)))
    file.write(_dtype(array.dtype) + pickle.NEWFALSE + pickle.BINBYTES8 + struct.pack("<Q", data.nbytes))
    file.write(data.data)
    file.write(pickle.TUPLE + pickle.BUILD)


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
