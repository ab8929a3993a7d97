"""bfloat16 to float32: every one of the 65536 bit patterns."""

from __future__ import annotations

import numpy as np
import torch

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
