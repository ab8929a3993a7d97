"""Checkpoint files: one reader per format, one way to write."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files.foreign import Skipped
from converter.files.pdparams import read_pdparams, write_pdparams
from converter.files.pth import read_pth
from converter.files.safetensors import read_safetensors

Tensors = dict[str, np.ndarray[Any, Any]]

WRAPPERS = ("state_dict", "model")
NESTED_WRAPPERS = 8
"""More of them, one in the other, are a file that contains itself."""
PREFIX = "module."


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The tensors of a file, under the keys of the network alone.

    `wrappers` lists what was taken off around them, outermost first; `collisions` are keys that stood
    there twice, with the prefix and without. `skipped` says which metadata was not read, and the foreign
    classes in it.
    """

    path: Path
    format: str
    tensors: Tensors
    wrappers: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    collisions: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read `path`, whatever its format, as plain data.

    Raises InputError if it is missing, empty, a directory, not a checkpoint, damaged, or names code.
    """
    check_readable(path)
    format_name = detect_format(path)
    if format_name == "safetensors":
        value: Any = read_safetensors(path)
    elif format_name == "pdparams":
        value = read_pdparams(path)
    else:
        value = read_pth(path)
    return _unwrap(path, format_name, value)


def check_readable(path: Path) -> None:
    """Raise InputError unless `path` is a file with something in it."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory; name a checkpoint file")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: is empty")
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from None


def detect_format(path: Path) -> str:
    """`pth`, `safetensors` or `pdparams`, from the file's first bytes; a bare pickle by its ending."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PK\x03\x04"):
        return "pth"
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack_from("<Q", head)[0] <= path.stat().st_size:
        return "safetensors"
    if head[:1] == b"\x80":
        return "pdparams" if path.suffix == ".pdparams" else "pth"
    raise InputError(f"{path}: not a checkpoint (neither a torch, a safetensors nor a Paddle file)")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _unwrap(path: Path, format_name: str, value: Any) -> Checkpoint:
    wrappers: list[str] = []
    skipped: list[str] = []
    while isinstance(value, dict) and len(wrappers) < NESTED_WRAPPERS:
        inner = [name for name in WRAPPERS if isinstance(value.get(name), dict)]
        if len(inner) > 1:
            raise InputError(f"{path}: holds both {' and '.join(map(repr, inner))}; save only the one to convert")
        if not inner:
            break
        wrappers += inner
        skipped += [f"{key} ({', '.join(i.names)})" for key, i in value.items() if isinstance(i, Skipped)]
        value = value[inner[0]]
    if not isinstance(value, dict) or not any(isinstance(item, np.ndarray) for item in value.values()):
        raise InputError(f"{path}: holds no state dict (a dictionary of tensors)")
    tensors: Tensors = {}
    collisions = []
    for key, item in value.items():
        _check_entry(path, key, item)
        name = key.removeprefix(PREFIX)
        if name in tensors:
            collisions.append(name)
        tensors[name] = item
    if any(key.startswith(PREFIX) for key in value):
        wrappers.append(PREFIX)
    return Checkpoint(
        path=path,
        format=format_name,
        tensors=tensors,
        wrappers=tuple(wrappers),
        skipped=tuple(skipped),
        collisions=tuple(collisions),
    )


def _check_entry(path: Path, key: Any, item: Any) -> None:
    if not isinstance(key, str):
        raise InputError(f"{path}: a key is a {type(key).__name__}, not a string")
    if not key.isprintable():
        raise InputError(f"{path}: key {key!r} cannot be printed")
    if not isinstance(item, np.ndarray):
        raise InputError(f"{path}: entry {key!r} is a {type(item).__name__}, not a tensor; remove it")


__all__ = [
    "Checkpoint",
    "Tensors",
    "check_readable",
    "detect_format",
    "file_digest",
    "read_checkpoint",
    "write_pdparams",
]
