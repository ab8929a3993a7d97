"""PaddleSeg's change of colours while training (transforms/transforms.py, `RandomDistort`), from one NumPy stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

Array = np.ndarray[Any, Any]
Change = Callable[[Image.Image, float], Image.Image]


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """Brightness, contrast, saturation and hue, each with the probability `chance`, in random order.

    The first three are multiplied by 1 - `reach` to 1 + `reach`; to the hue, of 256 levels, up to `hue` is added.
    """

    reach: float = 0.4
    hue: float = 18.0
    chance: float = 0.5

    def __call__(self, pixels: Array, rng: np.random.Generator) -> Array:
        """RGB pixels (H, W, 3) uint8 -> the same."""
        image = Image.fromarray(pixels)
        for number in rng.permutation(len(CHANGES)):
            if rng.random() < self.chance:
                change = CHANGES[number]
                amount = rng.uniform(-1, 1)
                image = change(image, amount * self.hue if change is _turn else 1 + amount * self.reach)
        return np.asarray(image)


def _brighten(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _contrast(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(factor)


def _saturate(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Color(image).enhance(factor)


def _turn(image: Image.Image, levels: float) -> Image.Image:
    """The hue is a circle: what leaves its levels comes in at the other end."""
    values = np.array(image.convert("HSV"))
    values[..., 0] = np.trunc(values[..., 0] + levels).astype(np.int64) % 256
    return Image.fromarray(values, mode="HSV").convert("RGB")


CHANGES: tuple[Change, ...] = (_brighten, _contrast, _saturate, _turn)
