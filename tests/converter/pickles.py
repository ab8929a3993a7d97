"""Pickles written opcode by opcode, and the files that hold them: what no honest program saves."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def value(plain: Any) -> bytes:
    """Opcodes of a plain value: numbers, strings, tuples, lists, dictionaries."""
    return pickle.dumps(plain, protocol=2)[2:-1]


def named(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def dotted(module: str, name: str) -> bytes:
    """A global whose name may be an attribute path, or anything else."""
    return value(module) + value(name) + pickle.STACK_GLOBAL


def tuple_of(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + pickle.REDUCE


def build(instance: bytes, state: bytes) -> bytes:
    return instance + state + pickle.BUILD


def mapping(items: Mapping[str, bytes]) -> bytes:
    pairs = b"".join(value(key) + item for key, item in items.items())
    return pickle.EMPTY_DICT + pickle.MARK + pairs + pickle.SETITEMS


def document(content: bytes) -> bytes:
    return pickle.PROTO + b"\x04" + content + pickle.STOP


def storage(*, kind: bytes = named("torch", "FloatStorage"), key: Any = "0", count: Any = 4, view: Any = None) -> bytes:
    items = (value("storage"), kind, value(key), value("cpu"), value(count))
    return tuple_of(*items, *([] if view is None else [value(view)])) + pickle.BINPERSID


def tensor(
    held: bytes | None = None, *, offset: Any = 0, shape: Any = (2, 2), strides: Any = (2, 1), hooks: bytes = b"}"
) -> bytes:
    """A tensor of float32 storage "0", which has 4 elements in `write_zip` and `write_legacy`."""
    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    where = (value(offset), value(shape), value(strides), pickle.NEWFALSE, hooks)
    return call(rebuild, storage() if held is None else held, *where)


def array(
    shape: Any = (2,), code: Any = "f4", data: Any = bytes(8), *, order: str = "<", fortran: bool = False
) -> bytes:
    """A NumPy array as `paddle.save` pickles it."""
    empty = call(named("numpy.core.multiarray", "_reconstruct"), named("numpy", "ndarray"), value((0,)), value("b"))
    state = (3, order, None, None, None, -1, -1, 0)
    dtype = build(call(named("numpy", "dtype"), value(code), value(False), value(True)), value(state))
    stored = pickle.SHORT_BINBYTES + bytes([len(data)]) + data if isinstance(data, bytes) else value(data)
    return build(empty, tuple_of(value(1), value(shape), dtype, value(fortran), stored))


def write_zip(path: Path, content: bytes, *, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", document(content))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
        archive.writestr("archive/version", "3\n")
    return path


def write_legacy(path: Path, content: bytes, *, keys: Any = ("0",), count: int = 4, **header: Any) -> Path:
    header = {"magic": LEGACY_MAGIC, "version": 1001, "system": SYSTEM, **header}
    documents = [*map(value, header.values()), content, value(list(keys) if isinstance(keys, tuple) else keys)]
    storages = struct.pack("<q4f", count, 1, 2, 3, 4)
    path.write_bytes(b"".join(map(document, documents)) + storages)
    return path


def write_pickle(path: Path, content: bytes) -> Path:
    path.write_bytes(document(content))
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, bytes], Path]]] = {
    "zip": ("hostile.pth", write_zip),
    "legacy": ("hostile.pth", write_legacy),
    "pdparams": ("hostile.pdparams", write_pickle),
}
"""Every kind of file that holds a pickle: its name and how it is written."""
