"""The zip archive that torch has written since 1.6, its storages memory-mapped.

Source: pytorch/pytorch torch/serialization.py (`_save`) and caffe2/serialize/inline_container.cc.
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from converter.errors import InputError
from converter.files.foreign import load_weights
from converter.files.kinds import name_archive
from converter.files.legacy import Locate
from converter.files.memory import Memory
from converter.files.torch_pickle import ALLOWED, WEIGHTS, make_storage
from converter.files.unpickle import one_line

LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip entry: lengths of its name and extra field
STORAGES = "data/"
BLOCK = 1 << 24
Entries = Mapping[str, zipfile.ZipInfo]


def read_archive(path: Path, file: IO[bytes], buffer: mmap.mmap, memory: Memory) -> tuple[Any, Locate, tuple[str, ...]]:
    """The object in the archive, where its storages are, and what is to be said of it.

    Raises InputError if it is damaged, which its checksums tell, or not torch's.
    """
    with _damage(path):
        archive = zipfile.ZipFile(file)
    infos = archive.infolist()
    entries = {_name(info): info for info in infos}
    if "data.pkl" not in entries or "constants.pkl" in entries:
        raise InputError(f"{path}: {name_archive([info.filename for info in infos])}")
    _check_entries(path, infos, memory)
    notes = (
        () if any(info.CRC for info in infos) else ("saved without checksums: damage to its values would not be seen",)
    )
    for info in infos if notes else ():
        info.CRC = None  # type: ignore[assignment]  # zipfile then checks none
    with _damage(path):
        byte_order = archive.read(entries["byteorder"]) if "byteorder" in entries else b"little"
        content = archive.read(entries["data.pkl"])
    if byte_order != b"little":
        raise InputError(f"{path}: saved on a big-endian machine; save it again on a little-endian one")
    positions = {
        name: _locate(path, archive, info, buffer)
        for name, info in entries.items()
        if name.startswith(STORAGES) and info.compress_type == zipfile.ZIP_STORED
    }
    unpacked: dict[str, bytes] = {}

    def locate(key: str, nbytes: int) -> tuple[Any, int]:
        name = f"{STORAGES}{key}"
        info = entries.get(name)
        if info is None or info.file_size < nbytes:
            found = 0 if info is None else info.file_size
            raise InputError(f"{path}: storage {one_line(key)} has {found} bytes, its tensors need {nbytes}")
        if name in positions:
            return buffer, positions[name]
        if key not in unpacked:
            with _damage(path):
                unpacked[key] = archive.read(info)
        return unpacked[key], 0

    value = load_weights(io.BytesIO(content), ALLOWED, path=str(path), weights=WEIGHTS, persistent_load=make_storage)
    return value, locate, notes


def _name(info: zipfile.ZipInfo) -> str:
    """The entry's name without the archive's own, which stands before it."""
    return info.filename.split("/", 1)[-1]


def _check_entries(path: Path, infos: list[zipfile.ZipInfo], memory: Memory) -> None:
    seen: set[str] = set()
    for info in infos:
        if _name(info) in seen:
            raise InputError(f"{path}: holds two entries called {one_line(_name(info))}; save it again with torch")
        seen.add(_name(info))
    packed = sum(info.file_size for info in infos if info.compress_type != zipfile.ZIP_STORED)
    memory.take(packed, "what is compressed in it")


def _locate(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, buffer: mmap.mmap) -> int:
    """Where a stored entry's bytes begin. Raises InputError unless they have the checksum that was saved with them."""
    with _damage(path), archive.open(info):  # opening checks the entry's own header
        name_length, extra_length = LOCAL_HEADER.unpack_from(buffer, info.header_offset)
    start = int(info.header_offset + LOCAL_HEADER.size + name_length + extra_length)
    if start + info.file_size > len(buffer):
        raise InputError(f"{path}: truncated in {one_line(_name(info))}; download or copy it again")
    if info.CRC is not None and _checksum(buffer, start, info.file_size) != info.CRC:
        raise InputError(
            f"{path}: damaged: {one_line(_name(info))} has not the checksum that was saved with it; "
            "download or copy it again"
        )
    return start


def _checksum(buffer: mmap.mmap, start: int, nbytes: int) -> int:
    checksum = 0
    with memoryview(buffer) as view:
        for position in range(start, start + nbytes, BLOCK):
            checksum = zlib.crc32(view[position : min(position + BLOCK, start + nbytes)], checksum)
    return checksum


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile and the decompressors raise many kinds
        raise InputError(
            f"{path}: truncated or damaged zip archive ({one_line(str(error))}); download or copy it again"
        ) from None
