"""Pickles that no program saves: tensors outside their storages, structures without end, false headers."""

from __future__ import annotations

import pickle
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter import read_checkpoint
from tests.converter.checkpoints import refusal
from tests.converter.pickles import (
    call,
    document,
    mapping,
    named,
    storage,
    tensor,
    tuple_of,
    value,
    write_legacy,
    write_zip,
)

HUGE = 1 << 40000  # too long even to print
FREE = 100  # places of the memo from here on are used by no value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "malformed.pth"


TENSORS = {
    "offset": tensor(offset=1),
    "huge offset": tensor(offset=HUGE),
    "negative offset": tensor(offset=-1),
    "shape": tensor(shape=(3, 2)),
    "stride": tensor(strides=(3, 1)),
    "negative stride": tensor(strides=(2, -1)),
    "negative shape": tensor(shape=(-2, -2)),
    "huge shape": tensor(shape=(HUGE, 2)),
    "huge stride": tensor(strides=(HUGE, 1)),
    "strides missing": tensor(strides=(2,)),
    "strides without shape": tensor(shape=()),
    "shape no tuple": tensor(shape=4),
    "shape of strings": tensor(shape=("2", "2")),
    "70 dimensions": tensor(shape=(1,) * 70, strides=(1,) * 70),
    "repeated beyond memory": tensor(shape=(1 << 47,), strides=(0,)),
    "storage larger than its bytes": tensor(storage(count=5)),
    "storage larger than any": tensor(storage(count=1 << 47)),
    "storage of huge size": tensor(storage(count=HUGE)),
    "storage of negative size": tensor(storage(count=-4)),
    "storage of no size": tensor(storage(count=None)),
    "storage of wider elements": tensor(storage(kind=named("torch", "DoubleStorage"))),
    "storage without type": tensor(storage(kind=value("FloatStorage"))),
    "storage of a class": tensor(storage(kind=named("collections", "OrderedDict"))),
    "storage elsewhere": tensor(storage(key="1")),
    "storage of two lines": tensor(storage(key="0\n")),
    "storage without name": tensor(storage(key=HUGE)),
    "storage above": tensor(storage(key="../data.pkl")),
    "view before its storage": tensor(storage(view=("0", -1, 4))),
    "view beyond its storage": tensor(storage(view=("0", 1, 4))),
    "view of huge size": tensor(storage(view=("0", 0, HUGE))),
    "view of nothing": tensor(storage(view=("0",))),
    "no storage": tensor(value(5)),
    "another persistent id": tensor(value(("module", "x")) + pickle.BINPERSID),
    "persistent id of one item": tensor(tuple_of(value("storage")) + pickle.BINPERSID),
    "no arguments": call(named("torch._utils", "_rebuild_tensor_v2")),
    "a function for a tensor": named("torch._utils", "_rebuild_tensor_v2"),
    "a storage for a tensor": storage(),
}


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_outside_their_storage(path: Path, write: Callable[[Path, bytes], Path], name: str) -> None:
    refusal(write(path, mapping({"w": TENSORS[name]})))


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_the_tensor_that_those_are_made_from_is_read(path: Path, write: Callable[[Path, bytes], Path]) -> None:
    assert read_checkpoint(write(path, mapping({"w": tensor()}))).tensors["w"].tolist() == [[1, 2], [3, 4]]
    viewed = tensor(storage(view=("0", 1, 3)), shape=(3,), strides=(1,))
    assert read_checkpoint(write(path, mapping({"w": viewed}))).tensors["w"].tolist() == [2, 3, 4]
    single = tensor(shape=(1, 1), strides=(1 << 40, 1 << 40), offset=3)  # its strides are never taken
    assert read_checkpoint(write(path, mapping({"w": single}))).tensors["w"].tolist() == [[4]]


LEGACY_HEADERS: dict[str, dict[str, Any]] = {
    "another magic number": {"magic": 5},
    "no magic number": {"magic": "CCNet"},
    "huge magic number": {"magic": HUGE},
    "another version": {"version": 1000},
    "huge version": {"version": HUGE},
    "big-endian": {"system": {"little_endian": False}},
    "no system": {"system": None},
    "no keys": {"keys": []},
    "keys no list": {"keys": 5},
    "keys a string": {"keys": "0"},
    "keys of numbers": {"keys": [0]},
    "huge key": {"keys": [HUGE]},
    "one key too many": {"keys": ["0", "1"]},
    "a list for a key": {"keys": [["0"]]},
    "negative count": {"count": -4},
    "count too large": {"count": 1 << 62},
    "count too small": {"count": 3},
}


@pytest.mark.parametrize("name", LEGACY_HEADERS)
def test_legacy_headers(path: Path, name: str) -> None:
    refusal(write_legacy(path, mapping({"w": tensor()}), **LEGACY_HEADERS[name]))


def nested(levels: int, key: str) -> bytes:
    return (pickle.EMPTY_DICT + value(key)) * levels + pickle.EMPTY_DICT + pickle.SETITEM * levels


def doubled(levels: int) -> bytes:
    """A dictionary that holds 2 ** levels dictionaries, all of them few."""
    content = pickle.EMPTY_DICT
    for level in range(FREE, FREE + levels):
        memo = pickle.BINPUT + bytes([level])
        again = pickle.BINGET + bytes([level])
        content += memo + b"0" + pickle.EMPTY_DICT + value("a") + again + b"s" + value("b") + again + b"s"
    return content


PUT, GET = pickle.BINPUT + bytes([FREE]), pickle.BINGET + bytes([FREE])
STRUCTURES = {
    "a wrapper in itself": b"}" + PUT + value("model") + GET + b"s",
    "a dictionary in itself": b"}" + PUT + value("w") + GET + b"s",
    "a list in itself": b"]" + PUT + GET + b"a",
    "20000 levels": nested(20_000, "a"),
    "1000 wrappers": nested(1000, "model"),
    "2 ** 100 dictionaries": doubled(100),
    "memo of 2 ** 32 entries": b"}" + pickle.LONG_BINPUT + struct.pack("<I", (1 << 32) - 1),
    "memo never filled": pickle.BINGET + b"\x07",
    "memo of a negative index": b"}" + pickle.PUT + b"-1\n",
    "bytes of 2 ** 62": pickle.BINBYTES8 + struct.pack("<Q", 1 << 62),
    "bytearray of 2 ** 62": pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 62),
    "frame of 2 ** 62": pickle.FRAME + struct.pack("<Q", 1 << 62) + b"}",
    "string of 4 GB": pickle.BINUNICODE + struct.pack("<I", (1 << 32) - 1),
    "negative length": pickle.BINSTRING + struct.pack("<i", -1),
    "number of 10000 digits": pickle.INT + b"9" * 10_000 + b"\n",
    "pop of nothing": b"000",
    "no mark": pickle.SETITEMS,
    "unknown opcode": b"\xff",
    "unregistered extension": pickle.EXT1 + b"\x05",
    "out-of-band buffer": pickle.NEXT_BUFFER,
    "protocol 200": pickle.PROTO + b"\xc8}",
    "a list as key": b"}](Ns",
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_structures(path: Path, write: Callable[[Path, bytes], Path], name: str) -> None:
    refusal(write(path, STRUCTURES[name]))


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_in_paddle_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "weights.pdparams"
    path.write_bytes(document(STRUCTURES[name]))
    refusal(path)


CLAIMS = [pickle.BYTEARRAY8, pickle.BINBYTES8, pickle.BINUNICODE8, pickle.FRAME]


def test_claims_of_a_few_bytes_take_no_memory(tmp_path: Path) -> None:
    """Each claims 4 GiB, or a memo as large; nothing near that may ever be in memory."""
    path = tmp_path / "weights.pdparams"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    contents = [opcode + struct.pack("<Q", 1 << 32) for opcode in CLAIMS]
    for content in [*contents, b"}" + pickle.LONG_BINPUT + struct.pack("<I", 1 << 29)]:
        path.write_bytes(document(content))
        refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kilobytes
