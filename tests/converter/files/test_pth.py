"""What `torch.save` writes is read as `torch.load` reads it, bit for bit."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from converter import read_checkpoint
from converter.files.pth import read_pth
from tests.converter.checkpoints import as_array, assert_same_bits

DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def zipped(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def save(path: Path, state: Any, zipped: bool) -> Path:
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_reads_like_torch(path: Path) -> None:
    expected = torch.load(path, weights_only=True)
    actual = read_checkpoint(path).tensors
    assert list(actual) == list(expected)
    for name, tensor in expected.items():
        assert_same_bits(actual[name], as_array(tensor), name)


def random_tensor(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))  # tensors of one file begin with different values
    return (torch.randn(shape, generator=generator) * 50).to(dtype)


BASE = torch.arange(48, dtype=torch.float32).reshape(6, 8)
LAYOUTS = {
    "transposed": BASE.t(),
    "strided": BASE[::2, 1::3],
    "offset": BASE[3:, 5:],
    "permuted": torch.arange(120.0).reshape(2, 3, 4, 5).permute(3, 1, 0, 2),
    "channels_last": random_tensor(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "expanded": torch.tensor([1.5]).expand(3, 4),
    "scalar": torch.tensor(2.5),
    "scalar_in_storage": BASE[4, 3],
    "empty": torch.empty(0),
    "empty_matrix": torch.empty(3, 0, 2),
    "empty_slice": BASE[6:],
    "one_element": torch.tensor([7.0]),
    "special_values": torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45]),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(tmp_path: Path, zipped: bool, dtype: torch.dtype) -> None:
    state = {
        "vector": random_tensor(7, dtype=dtype),
        "matrix": random_tensor(3, 5, dtype=dtype).t(),
        "scalar": random_tensor(dtype=dtype),
        "empty": random_tensor(0, 4, dtype=dtype),
    }
    assert_reads_like_torch(save(tmp_path / "dtypes.pth", state, zipped))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, zipped: bool, layout: str) -> None:
    assert_reads_like_torch(save(tmp_path / "layout.pth", {"w": LAYOUTS[layout]}, zipped))


def test_tensors_that_share_one_storage(tmp_path: Path, zipped: bool) -> None:
    state = {"whole": BASE, "row": BASE[2], "column": BASE[:, 3], "again": BASE, "last": BASE[5, 7:]}
    assert_reads_like_torch(save(tmp_path / "shared.pth", state, zipped))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_parameters(tmp_path: Path, zipped: bool, dtype: torch.dtype) -> None:
    state = {"w": nn.Parameter(random_tensor(3, 2, dtype=dtype)), "b": nn.Parameter(random_tensor(3, dtype=dtype))}
    assert_reads_like_torch(save(tmp_path / "parameters.pth", state, zipped))


def test_state_dict_with_metadata(tmp_path: Path, zipped: bool) -> None:
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    assert state._metadata  # saved by torch as an attribute, which a plain dictionary has not
    assert_reads_like_torch(save(tmp_path / "metadata.pth", state, zipped))


@given(data=st.data())
def test_any_strided_view(tmp_path: Path, zipped: bool, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(st.lists(st.integers(0, 4), max_size=4))
    strides = data.draw(st.lists(st.integers(0, 7), min_size=len(shape), max_size=len(shape)))
    offset = data.draw(st.integers(0, 9))
    reach = offset + sum(max(size - 1, 0) * stride for size, stride in zip(shape, strides, strict=True))
    contents = data.draw(st.binary(min_size=8 * (reach + 1), max_size=8 * (reach + 4)))
    bits = torch.frombuffer(bytearray(contents[: len(contents) // 8 * 8]), dtype=torch.uint8)
    storage = bits % 2 == 1 if dtype == torch.bool else bits.view(dtype)
    view = storage.as_strided(shape, strides, offset)
    path = save(tmp_path / "view.pth", {"view": view, "storage": storage}, zipped)
    assert_reads_like_torch(path)


def test_deflated_archive(tmp_path: Path) -> None:
    state = {"a": BASE.t(), "b": BASE[2:], "half": random_tensor(9, dtype=torch.float16), "empty": torch.empty(0)}
    original = save(tmp_path / "stored.pth", state, True)
    deflated = tmp_path / "deflated.pth"
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    for name, array in read_checkpoint(deflated).tensors.items():
        assert_same_bits(array, as_array(state[name]), name)


def test_arrays_are_mapped_not_copied(tmp_path: Path, zipped: bool) -> None:
    array = read_checkpoint(save(tmp_path / "mapped.pth", {"w": BASE}, zipped)).tensors["w"]
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_values_beside_tensors_are_kept(tmp_path: Path, zipped: bool) -> None:
    state = {"w": BASE, "epoch": 3, "nested": {"b": BASE[0], "list": [1, [2.5, None]], "flag": True}}
    value = read_pth(save(tmp_path / "nested.pth", state, zipped))
    assert (value["epoch"], value["nested"]["list"], value["nested"]["flag"]) == (3, [1, [2.5, None]], True)
    np.testing.assert_array_equal(value["nested"]["b"], BASE[0].numpy())
