"""bfloat16, which NumPy lacks."""

from __future__ import annotations

from typing import Any

import numpy as np


def widen(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """bfloat16 values, given as uint16 bits, as float32 of the same shape; exact."""
    wide = bits.astype(np.uint32)
    wide <<= np.uint32(16)  # in place: shifting a 0-d array makes a scalar of it
    return wide.view(np.float32)


def widen_paddle(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array of a Paddle file: Paddle keeps bfloat16 as NumPy's uint16, a dtype that it has for nothing else."""
    return widen(array) if array.dtype == np.uint16 else array
