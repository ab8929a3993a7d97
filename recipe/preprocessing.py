"""What a family's networks expect of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from families import Preprocessing

Array = np.ndarray[Any, Any]


def preprocess(pixels: Array, preprocessing: Preprocessing) -> Array:
    """RGB pixels (H, W, 3), uint8 -> (3, H, W), float64, as the family's networks expect them."""
    ordered = pixels[..., ::-1] if preprocessing.channel_order == "BGR" else pixels
    scaled = (ordered - np.array(preprocessing.mean)) / np.array(preprocessing.deviation)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))
