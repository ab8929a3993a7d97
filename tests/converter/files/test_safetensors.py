"""`.safetensors` files, as the library writes them and damaged."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from converter import read_checkpoint
from tests.converter.checkpoints import as_array, assert_same_bits, read_or_refuse, refusal
from tests.converter.files.test_pth import DTYPES, random_tensor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(path: Path, dtype: torch.dtype) -> None:
    state = {"vector": random_tensor(5, dtype=dtype), "scalar": random_tensor(dtype=dtype)}
    save_file({**state, "empty": random_tensor(0, 3, dtype=dtype), "odd": random_tensor(3, 3, dtype=dtype)}, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == "safetensors"
    expected = load_file(path)
    assert set(checkpoint.tensors) == set(expected)
    for name, tensor in expected.items():
        assert_same_bits(checkpoint.tensors[name], as_array(tensor), name)


def test_metadata_and_prefix(path: Path) -> None:
    save_file({"module.conv1.weight": torch.ones(2)}, path, metadata={"format": "pt"})
    checkpoint = read_checkpoint(path)
    assert (list(checkpoint.tensors), checkpoint.wrappers) == (["conv1.weight"], ("module.",))


def test_a_dtype_that_numpy_lacks(path: Path) -> None:
    save_file({"w": torch.ones(2, dtype=torch.float8_e4m3fn)}, path)
    assert "F8_E4M3" in refusal(path)


def write_header(path: Path, header: bytes, *, length: int | None = None, data: bytes = bytes(8)) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def entry(**changes: object) -> bytes:
    return json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}).encode()


DAMAGED_HEADERS = {
    "not JSON": b'{"w": ',
    "not a dictionary": b"{1, 2}    ",
    "no entry": b'{"w": 5}',
    "offsets outside": entry(data_offsets=[0, 80]),
    "offsets reversed": entry(data_offsets=[8, 0]),
    "offsets before the data": entry(data_offsets=[-8, 0]),
    "shape too large": entry(shape=[3]),
    "shape overflows": entry(shape=[1 << 62, 1 << 62]),
    "negative shape": entry(shape=[-2]),
    "too many dimensions": entry(shape=[2] + [1] * 100_000),
    "unknown dtype": entry(dtype="F33"),
}


@pytest.mark.parametrize("name", DAMAGED_HEADERS)
def test_damaged_headers_are_refused(path: Path, name: str) -> None:
    refusal(write_header(path, DAMAGED_HEADERS[name]))


@pytest.mark.parametrize("length", [0, 3, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_wrong_header_lengths_are_refused(path: Path, length: int) -> None:
    refusal(write_header(path, entry(), length=length))


def test_every_truncation_is_refused(path: Path) -> None:
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2, dtype=torch.bfloat16)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_flipped_bytes_are_read_or_refused(path: Path) -> None:
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2, dtype=torch.bfloat16)}, path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for flip in (0x01, 0x10, 0x80):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
            read_or_refuse(path)
