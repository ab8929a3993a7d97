"""bfloat16, which NumPy lacks."""

from __future__ import annotations

from typing import Any

import numpy as np


def widen(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """bfloat16 values, given as uint16 bits, as float32 of the same shape; exact."""
    wide = bits.astype(np.uint32)
    wide <<= np.uint32(16)  # in place: shifting a 0-d array makes a scalar of it
    return wide.view(np.float32)
