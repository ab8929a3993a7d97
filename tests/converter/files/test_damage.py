"""Damage that only a checksum tells, and bombs: refused before the memory is taken."""

from __future__ import annotations

import pickle
import random
import resource
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from converter import read_checkpoint
from tests.converter.checkpoints import refusal
from tests.converter.pickles import (
    WRITERS,
    call,
    document,
    mapping,
    named,
    tensor,
    tuple_of,
    value,
    write_legacy,
    write_zip,
)


def test_one_flipped_bit_in_a_storage(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.arange(1000.0), "lists": [torch.arange(50.0)], "b": torch.ones(77)}, path)
    whole = path.read_bytes()
    generator = random.Random(0)
    with zipfile.ZipFile(path) as archive:
        storages = [info for info in archive.infolist() if "/data/" in info.filename]
    for info in storages:
        start = info.header_offset
        name, extra = struct.unpack_from("<26xHH", whole, start)
        for _ in range(5):
            position = start + 30 + name + extra + generator.randrange(info.file_size)
            flipped = bytearray(whole)
            flipped[position] ^= 1 << generator.randrange(8)
            path.write_bytes(flipped)
            assert "has not the checksum that was saved with it; download or copy it again" in refusal(path)


def test_an_archive_without_checksums_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(4.0)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    checkpoint = read_checkpoint(path)
    assert checkpoint.tensors["w"].tolist() == [0, 1, 2, 3]
    assert checkpoint.notes == ("saved without checksums: damage to its values would not be seen",)
    torch.save({"w": torch.arange(4.0)}, path)
    assert read_checkpoint(path).notes == ()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["archive/data/0", "other/data/0", "archive/data.pkl"])
def test_a_name_that_stands_twice(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "x.pth", mapping({"w": tensor()}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, struct.pack("<4f", 5, 6, 7, 8))
    assert f"two entries called {name.partition('/')[2]}" in refusal(path)
    assert "two storages called 0" in refusal(write_legacy(path, mapping({"w": tensor()}), keys=["0", "0"]))


def peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


BOMBS = {
    "stride 0": tensor(shape=(1 << 28,), strides=(0,)),
    "many of stride 0": mapping({str(i): tensor(shape=(1 << 22,), strides=(0,)) for i in range(50)}),
}


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("name", BOMBS)
def test_declared_elements_take_no_memory(tmp_path: Path, name: str, write: object) -> None:
    path = tmp_path / "x.pth"
    before = peak()
    write(path, mapping({"w": BOMBS[name]}))  # type: ignore[operator]
    assert "would take" in refusal(path)
    assert peak() - before < 200 << 20


def test_a_small_expanded_tensor_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.pth", mapping({"w": tensor(shape=(1000,), strides=(0,))}))
    assert read_checkpoint(path).tensors["w"].sum() == 1000


def test_compressed_entries_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", document(mapping({"w": tensor()})))
        archive.writestr("a/byteorder", "little")
        with archive.open("a/data/0", "w") as entry:
            for _ in range(300):
                entry.write(bytes(1 << 20))
    before = peak()
    assert "what is compressed in it would take" in refusal(path)
    assert peak() - before < 200 << 20


def test_a_large_value_repeated_by_reference(tmp_path: Path) -> None:
    put, get = pickle.BINPUT + b"\xf0", pickle.BINGET + b"\xf0"
    text = value("x" * 2_000_000) + put + b"0"
    calls = b"".join(call(named("_codecs", "encode"), get, value("latin1")) + b"0" for _ in range(500))
    for name, (file_name, writer) in WRITERS.items():
        before = peak()
        assert "repeats a large value" in refusal(writer(tmp_path / f"{name}{file_name}", text + calls + b"}"))
        assert peak() - before < 200 << 20


SMALL = {"lists": b"]", "sets": pickle.EMPTY_SET, "nothing": b"N", "marks": b"("}


@pytest.mark.parametrize("name", SMALL)
def test_millions_of_small_objects(tmp_path: Path, name: str) -> None:
    for file_name, writer in WRITERS.values():
        before = peak()
        assert "more opcodes than weights need" in refusal(writer(tmp_path / file_name, SMALL[name] * 2_000_000))
        assert peak() - before < 240 << 20


def nested_tuple(depth: int) -> bytes:
    return pickle.EMPTY_TUPLE + pickle.TUPLE1 * depth


def doubled_tuple(levels: int) -> bytes:
    return pickle.EMPTY_TUPLE + (pickle.DUP + pickle.TUPLE2) * levels


DEEP = {
    "a hundred thousand deep": nested_tuple(100_000),
    "doubled sixty times": doubled_tuple(60),
}
PLACES = {
    "a key": lambda deep: b"}" + deep + b"Ns",
    "a key of several": lambda deep: b"}(" + deep + b"Nu",
    "a key of DICT": lambda deep: b"(" + deep + b"Nd",
    "in a set": lambda deep: pickle.EMPTY_SET + b"(" + deep + pickle.ADDITEMS,
    "in a frozen set": lambda deep: b"(" + deep + pickle.FROZENSET,
    "a set's items": lambda deep: call(named("builtins", "set"), b"](" + deep + b"e"),
    "an ordered dictionary's": lambda deep: call(
        named("collections", "OrderedDict"), b"](" + tuple_of(deep, b"N") + b"e"
    ),
    "a device": lambda deep: call(named("torch", "device"), deep),
    "a dtype": lambda deep: call(named("numpy", "dtype"), deep),
    "an encoding": lambda deep: call(named("_codecs", "encode"), value("a"), deep),
    "a tensor's shape": lambda deep: mapping({"w": tensor(shape=()).replace(b")", b")", 1)}) + deep + b"0",
    "a value": lambda deep: mapping({"w": deep}),
}


def test_a_tuple_a_million_deep_has_too_many_opcodes(tmp_path: Path) -> None:
    for file_name, writer in WRITERS.values():
        path = writer(tmp_path / file_name, PLACES["a key"](nested_tuple(1_000_000)))
        assert "more opcodes than weights need" in refusal(path)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", DEEP)
def test_deep_and_doubled_tuples_end_soon(tmp_path: Path, name: str, place: str) -> None:
    for file_name, writer in WRITERS.values():
        path = writer(tmp_path / file_name, PLACES[place](DEEP[name]))
        refusal(path)
