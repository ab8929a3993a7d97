"""What the networks are fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from families import Preprocessing
from parity.errors import ParityInputError
from recipe.preprocessing import preprocess

Array = np.ndarray[Any, Any]

DEFAULT_SIZES = ((97, 65), (64, 112))
"""Odd and even, neither square: some mistakes show only on one of them."""
DEFAULT_BATCH = 2


def make_images(size: tuple[int, int], *, seed: int, batch: int = DEFAULT_BATCH) -> Array:
    """Standard normal images (batch, 3, H, W), float64, a function of size and seed."""
    return np.random.default_rng([seed, *size]).standard_normal((batch, 3, *size))


def read_image(path: Path, preprocessing: Preprocessing, *, size: tuple[int, int] | None = None) -> Array:
    """A picture as network input (1, 3, H, W), float64, resized to `size` (H, W) if given.

    Raises ParityInputError if the file is not a readable picture.
    """
    try:
        with Image.open(path) as picture:
            pixels = picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise ParityInputError(f"{path}: not a readable picture ({error})") from None
    if size is not None:
        pixels = pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return preprocess(np.asarray(pixels), preprocessing)[None]
