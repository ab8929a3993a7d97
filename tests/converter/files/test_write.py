"""Every format, written and read back, by this project and by the libraries that own it."""

from __future__ import annotations

import resource
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from safetensors.numpy import load_file

from converter.files.write import FORMATS, read_tensors, write_tensors
from tests.converter.checkpoints import Array, assert_same_tensors


def read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


ARRAYS: dict[str, Array] = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "every other": np.arange(6, dtype=np.float16)[::2],
    "number": np.asarray(0.7, np.float32),
    "counter": np.asarray(60000, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "not mine": read_only(np.ones(3, np.float32)),
    "odd": np.array([-0.0, np.nan, np.inf, 1e-45], np.float32),
}


@pytest.mark.parametrize("format_name", ["pth", "pdparams", "safetensors"])
def test_what_the_disk_refuses_is_said_by_the_system(tmp_path: Path, format_name: str) -> None:
    """A limit of file sizes stands for a full disk; the libraries make errors of their own of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_tensors(tmp_path / "a", format_name, [("w", np.ones((99, 99), np.float32))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def load(path: Path, format_name: str) -> dict[str, Any]:
    if format_name == "pth":
        return {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}
    if format_name == "pdparams":
        loaded: dict[str, Any] = paddle.load(str(path), return_numpy=True)
        return loaded
    return dict(load_file(path))


@pytest.mark.parametrize("format_name", FORMATS.values())
def test_written_tensors_come_back(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "anything.tmp"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_tensors(path, format_name, ARRAYS.items())
    assert_same_tensors(read_tensors(path, format_name), ARRAYS)
    assert_same_tensors(load(path, format_name), ARRAYS)


@pytest.mark.parametrize("ending", FORMATS)
def test_another_reader_refuses_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"weights{ending}"
    write_tensors(path, FORMATS[ending], ARRAYS.items())
    for other in set(FORMATS.values()) - {FORMATS[ending]}:
        with pytest.raises(Exception, match=r"weights|pickle|archive"):
            read_tensors(path, other)


@pytest.mark.parametrize("format_name", sorted(set(FORMATS.values())))
def test_the_same_tensors_are_the_same_bytes(format_name: str, tmp_path: Path) -> None:
    """Whatever the file is called, and whoever writes it."""
    tensors = {"b": np.arange(6.0).reshape(2, 3), "a": np.ones(3, np.float32), "n": np.array(3)}
    for name in ("one", "another.123-abc.tmp"):
        write_tensors(tmp_path / name, format_name, tensors.items())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "another.123-abc.tmp").read_bytes()
