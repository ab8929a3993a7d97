"""Reader of `.safetensors` files, memory-mapped.

Source of the format: huggingface/safetensors README (header length, JSON header, data).
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from converter.errors import InputError
from converter.files.bfloat16 import widen
from converter.files.documents import DIMENSIONS
from converter.files.unpickle import one_line

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


def read_safetensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Name -> read-only array; bfloat16 becomes float32, exactly.

    Raises InputError if the file is damaged or holds a dtype that NumPy lacks. The library validates
    the header; the arrays are mapped here because it copies them, and cannot give NumPy bfloat16.
    """
    try:
        with safe_open(path, framework="numpy"), path.open("rb") as file:
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (SafetensorError, OSError) as error:
        broken = "; it ends too early: download or copy it again" if _ends_early(path) else ""
        raise InputError(f"{path}: not a readable safetensors file ({one_line(str(error))}){broken}") from None
    (header_length,) = struct.unpack_from("<Q", buffer)
    header = json.loads(buffer[8 : 8 + header_length])
    header.pop("__metadata__", None)
    return {name: _array(buffer, 8 + header_length, name, entry, path) for name, entry in header.items()}


def _ends_early(path: Path) -> bool:
    """Whether a file is shorter than its beginning says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (header_length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if 8 + header_length > size:
            return True
        try:
            entries = json.loads(file.read(header_length))
            ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
            return bool(8 + header_length + max(ends, default=0) > size)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return False


def _array(buffer: mmap.mmap, data_start: int, name: str, entry: Any, path: Path) -> np.ndarray[Any, Any]:
    if entry["dtype"] not in DTYPES:
        raise InputError(f"{path}: {one_line(name)} has dtype {entry['dtype']}; convert it to float32 first")
    if len(entry["shape"]) > DIMENSIONS:
        raise InputError(f"{path}: {one_line(name)} has {len(entry['shape'])} dimensions, NumPy's arrays {DIMENSIONS}")
    start, _ = entry["data_offsets"]
    count = int(np.prod(entry["shape"], dtype=np.int64))
    array = np.frombuffer(buffer, DTYPES[entry["dtype"]], count, data_start + start).reshape(entry["shape"])
    return widen(array) if entry["dtype"] == "BF16" else array
