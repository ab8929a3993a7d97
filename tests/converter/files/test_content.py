"""What lies beside or around tensors: read where it is plain, left out and named where it is not."""

from __future__ import annotations

import argparse
import pickle
from collections import Counter, OrderedDict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from converter import read_checkpoint
from tests.converter.checkpoints import assert_same_tensors

WEIGHT = torch.arange(6.0).reshape(2, 3)


def parameter_with_attributes() -> nn.Parameter:
    parameter = nn.Parameter(WEIGHT.clone())
    parameter.tag = "kept"  # type: ignore[attr-defined]
    return parameter


def tensor_with_attributes() -> torch.Tensor:
    tensor = WEIGHT.clone()
    tensor.tag = "kept"  # type: ignore[attr-defined]
    return tensor


BESIDE: dict[str, Any] = {
    "Counter": Counter("abca"),
    "set": {1, "a", (2, 3)},
    "frozenset": frozenset([1]),
    "dtype": torch.bfloat16,
    "device": torch.device("cuda:1"),
    "size": torch.Size([1, 2]),
    "bytes": b"abc",
    "bytearray": bytearray(b"abc"),
    "complex": 1j,
    "ordered": OrderedDict(a=(1, 2)),
    "layout": torch.strided,
    "unsigned": torch.ones(2, dtype=torch.uint16),
}
UNKNOWN = [("unsigned", False)]
"""The old format has no such dtype."""


@pytest.mark.parametrize(("name", "zipped"), [case for case in product(BESIDE, (True, False)) if case not in UNKNOWN])
def test_what_torchs_own_loader_reads(tmp_path: Path, name: str, zipped: bool) -> None:
    path = tmp_path / "x.pth"
    state = {"w": WEIGHT}
    torch.save({"state_dict": state, "beside": BESIDE[name]}, path, _use_new_zipfile_serialization=zipped)
    if name != "frozenset":
        torch.load(path, weights_only=True)
    checkpoint = read_checkpoint(path)
    np.testing.assert_array_equal(checkpoint.tensors["w"], WEIGHT.numpy())
    assert checkpoint.skipped == ()


@pytest.mark.parametrize("make", [parameter_with_attributes, tensor_with_attributes])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_tensors_with_attributes(tmp_path: Path, make: Any, zipped: bool) -> None:
    torch.save({"w": make()}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "x.pth").tensors["w"], WEIGHT.numpy())


class Callback:
    """What a training framework keeps of itself."""

    def __init__(self) -> None:
        self.history = [1, 2]

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("executed")


METADATA: dict[str, tuple[Any, str]] = {
    "arguments": (argparse.Namespace(lr=0.1), "argparse.Namespace"),
    "a NumPy scalar": (np.float64(0.8), ".multiarray.scalar"),
    "a callback": ([Callback()], f"{__name__}.Callback"),
    "a path": (Path("x"), f"{type(Path()).__module__}.PosixPath"),
    "deep": ({"a": {"b": argparse.Namespace()}}, "argparse.Namespace"),
}


@pytest.mark.parametrize("entry", ["state_dict", "net", "model"])
@pytest.mark.parametrize("name", METADATA)
def test_other_metadata_is_left_out_and_named(tmp_path: Path, name: str, entry: str) -> None:
    value, foreign = METADATA[name]
    torch.save({"epoch": 3, "extra": value, entry: {"w": WEIGHT}}, tmp_path / "x.pth")
    checkpoint = read_checkpoint(tmp_path / "x.pth")
    (skipped,) = checkpoint.skipped
    assert skipped.startswith("extra (")
    assert foreign in skipped
    assert list(checkpoint.tensors) == ["w"]


def test_words_as_arrays_are_no_weights(tmp_path: Path) -> None:
    torch.save({"names": np.array(["road", "car"]), "net": {"w": WEIGHT}}, tmp_path / "x.pth")
    assert list(read_checkpoint(tmp_path / "x.pth").tensors) == ["w"]


ARRAYS = {
    **{code: np.array([0, 1, 100]).astype(code) for code in ("f8", "f4", "f2", "i8", "i4", "u1", "?")},
    "scalar": np.array(2.5, np.float32),
    "empty": np.empty((0, 3), np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}


@pytest.mark.parametrize("numpy", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("how", ["torch", "legacy torch", "pickle"])
def test_values_that_are_numpy_arrays(tmp_path: Path, how: str, numpy: str) -> None:
    path = tmp_path / "x.pth"
    if how == "pickle":
        content = pickle.dumps({"state_dict": ARRAYS}, protocol=2)
        path.write_bytes(content.replace(b"cnumpy.core.", f"c{numpy}.".encode()))
    else:
        torch.save({"state_dict": ARRAYS}, path, _use_new_zipfile_serialization=how == "torch")
    assert_same_tensors(read_checkpoint(path).tensors, ARRAYS)
