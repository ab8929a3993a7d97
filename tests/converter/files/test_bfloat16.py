"""bfloat16 to float32, every one of the 65536 bit patterns; and whole numbers, which are no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import models_paddle
import models_torch
from converter import read_checkpoint
from converter.files import write_pdparams
from converter.files.bfloat16 import widen
from tests.converter.checkpoints import assert_same_bits


def test_every_bit_pattern() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    expected = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert_same_bits(widen(bits), expected)


def test_shapes_and_strides() -> None:
    bits = np.arange(24, dtype=np.uint16).reshape(4, 6)
    assert_same_bits(widen(bits[::2, 1::2].T), widen(bits)[::2, 1::2].T)
    assert widen(np.uint16(0x3F80).reshape([])) == np.float32(1)


@pytest.mark.parametrize("nested", [False, True])
def test_a_paddle_file_of_bfloat16(tmp_path: Path, nested: bool) -> None:
    """Paddle saves it as NumPy's uint16."""
    values = np.array([[1.0, -2.5, 3e-3], [0.0, -0.0, 1e30]], np.float32)
    tensor = paddle.to_tensor(values).astype("bfloat16")
    path = tmp_path / "x.pdparams"
    paddle.save({"model": {"w": tensor}, "epoch": 3} if nested else {"w": tensor}, str(path))
    assert b"u2" in path.read_bytes()
    (array,) = read_checkpoint(path).tensors.values()
    assert_same_bits(array, tensor.astype("float32").numpy())


def test_none_is_written_as_whole_numbers(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="uint16"):
        write_pdparams((tmp_path / "x.pdparams").open("wb"), [("w", np.ones(2, np.uint16))])


@pytest.mark.parametrize("package", [models_torch, models_paddle])
@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64", "bool"])
def test_whole_numbers_are_no_weights_of_a_twin(package: Any, dtype: str) -> None:
    model = package.build_ccnet("official", num_classes=2, depth=18)
    arrays = {name: np.zeros(tuple(tensor.shape), np.float32) for name, tensor in model.state_dict().items()}
    arrays = {name: array for name, array in arrays.items() if "num_batches" not in name}
    arrays["head.attention.gamma"] = arrays["head.attention.gamma"].astype(dtype)
    with pytest.raises(ValueError, match=f"head.attention.gamma holds {dtype}, the network needs float32"):
        package.load_weights(model, arrays)
