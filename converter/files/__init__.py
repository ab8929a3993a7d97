"""Checkpoint files: one reader per format, one way to write."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files.atomic import recover
from converter.files.entries import Found, find_state, list_sets, name_set
from converter.files.keys import clean_keys
from converter.files.kinds import name_kind
from converter.files.legacy import MAGIC
from converter.files.memory import Memory
from converter.files.pdparams import read_nested, write_pdparams
from converter.files.pth import read_with_notes
from converter.files.reading import Reading, UnfitReadingError
from converter.files.safetensors import read_safetensors
from converter.files.shards import INDEX, name_shard, read_shards

Tensors = dict[str, np.ndarray[Any, Any]]

FORMATS: Mapping[str, Callable[[Path], tuple[Any, tuple[str, ...]]]] = {
    "safetensors": lambda path: (read_safetensors(path), ()),
    "pdparams": lambda path: (read_nested(path), ()),
    "pth": read_with_notes,
}
"""What is in a file of each format, and what is to be said of it."""

OLD_PICKLES = (b"}q", b"(d", b"ccollections\nOrderedDict\n")
"""How a dictionary begins in pickle's protocols 0 and 1, which have no header."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The tensors of a file, under the keys of the network alone.

    `wrappers` lists what was taken off around them, outermost first; `collisions` are keys that stood
    there twice, with the prefix and without. `skipped` says which entries were not read: metadata, with the
    foreign classes in it, and strangers to the network. `sets` are all state dicts of the file, by name with the
    number of their tensors; `notes` are sentences that its user should see. `own` are the tensors by the file's keys.
    """

    path: Path
    format: str
    tensors: Tensors
    wrappers: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    collisions: tuple[str, ...] = ()
    sets: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    own: Tensors = field(default_factory=dict, repr=False)
    reading: Reading = field(default_factory=Reading)

    def named_as(self, names: Collection[str]) -> Tensors:
        """The tensors for a network that calls its own `names`: by the file's keys if those are they."""
        if any(name in self.own for name in names) and not all(name in self.tensors for name in names):
            taken = {id(array) for array in self.tensors.values()}
            return {key: array for key, array in self.own.items() if key in names or id(array) in taken}
        return self.tensors

    def release(self) -> None:
        """Let go of the tensors, and with them of the file that they are mapped from."""
        self.tensors.clear()
        self.own.clear()


def read_checkpoint(path: Path, reading: Reading | None = None) -> Checkpoint:
    """Read `path`, whatever its format, as plain data, the way `reading` says.

    Raises InputError if it is missing, empty, a directory, not a checkpoint, damaged, or names code.
    """
    reading = reading or Reading()
    recover(path.parent)
    check_readable(path)
    if shard := name_shard(path):
        raise InputError(f"{path}: is {shard}")
    notes: tuple[str, ...] = ()
    memory: Memory | None = None
    if path.name.endswith(INDEX):
        format_name, value = "shards", read_shards(path, _read_shard)
    else:
        format_name, memory = detect_format(path), Memory(path)
        value, notes = FORMATS[format_name](path)
    found = find_state(path, value, reading.entry)
    keys = clean_keys(path, found.state, reading.ignore)
    if memory is not None:
        memory.take(sum(array.nbytes for array in keys.tensors.values()), "its tensors")
    return Checkpoint(
        path=path,
        format=format_name,
        tensors=keys.tensors,
        wrappers=(*found.where, *keys.prefix),
        skipped=(*found.skipped, *keys.left_out),
        collisions=keys.collisions,
        sets=found.sets,
        notes=(*notes, *_describe_choice(found)),
        own=keys.own,
        reading=reading,
    )


def read_fitting(paths: Sequence[Path], reading: Reading) -> list[Checkpoint]:
    """Read each file as `reading` says, or plainly where it has nothing of what that names.

    Raises UnfitReadingError if that is so of all of them.
    """
    read, unfit = [], []
    for path in paths:
        try:
            read.append(read_checkpoint(path, reading))
        except UnfitReadingError as error:
            unfit.append(error)
            read.append(read_checkpoint(path, Reading(without_auxiliary=reading.without_auxiliary)))
    if len(unfit) == len(paths):
        raise unfit[0]
    return read


def check_readable(path: Path) -> None:
    """Raise InputError unless `path` is a file with something in it."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory; name a checkpoint file")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a regular file")
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise InputError(f"{path}: is empty; download or copy it again")
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from None


def detect_format(path: Path) -> str:
    """`pth`, `safetensors` or `pdparams`, from the file's first bytes, whatever its name.

    Raises InputError, saying what the file is, if it is none of them.
    """
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith(b"PK\x03\x04"):
        return "pth"
    if len(head) > 8 and head[8:9] == b"{" and head[6:8] == b"\0\0":
        return "safetensors"
    if head.startswith(OLD_PICKLES):
        return "pdparams"
    if head[:1] == b"\x80":
        return "pth" if MAGIC.to_bytes(10, "little") in head else "pdparams"
    raise InputError(f"{path}: not a checkpoint, but {name_kind(path)}")


def file_digest(path: Path, given_up: Event | None = None) -> str:
    """SHA-256 of a file, in hexadecimal; of what was read of it so far, once `given_up` is set."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while (given_up is None or not given_up.is_set()) and (block := file.read(1 << 20)):
            digest.update(block)
    return digest.hexdigest()


def _read_shard(path: Path) -> Any:
    check_readable(path)
    return FORMATS[detect_format(path)](path)[0]


def _describe_choice(found: Found) -> list[str]:
    if found.rule is None or len(found.sets) < 2:
        return []
    return [
        f"holds several sets of weights: {list_sets(found.sets)}; taken: {name_set(found.where)} ({found.rule}); "
        "--weights-entry NAME takes another"
    ]


__all__ = [
    "Checkpoint",
    "Reading",
    "Tensors",
    "UnfitReadingError",
    "check_readable",
    "detect_format",
    "file_digest",
    "read_checkpoint",
    "read_fitting",
    "write_pdparams",
]
