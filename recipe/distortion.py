"""Changes of colours while training, from one NumPy stream.

PaddleSeg's (transforms/transforms.py, `RandomDistort`), and mmsegmentation's (datasets/transforms/transforms.py,
`PhotoMetricDistortion`).
"""

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


@dataclass(frozen=True, kw_only=True)
class PhotometricDistortion:
    """Brightness, contrast, saturation and hue, each for half of the pictures; contrast first or last of the others.

    Up to `brightness` levels of 256 are added to all channels; contrast and saturation are multiplied by 1 - `reach` to
    1 + `reach`; the hue is turned by up to `hue` whole steps of two degrees.
    """

    brightness: float = 32.0
    reach: float = 0.5
    hue: int = 18

    def __call__(self, pixels: Array, rng: np.random.Generator) -> Array:
        """RGB pixels (H, W, 3) uint8 -> the same."""
        pixels = _clipped(pixels, 1.0, rng.uniform(-1, 1) * self.brightness if rng.integers(2) else 0.0)
        contrast_first = bool(rng.integers(2))
        if contrast_first:
            pixels = _clipped(pixels, self._factor(rng), 0.0)
        saturation = self._factor(rng)
        turn = int(rng.integers(-self.hue, self.hue)) if rng.integers(2) else 0
        values = np.array(Image.fromarray(pixels).convert("HSV"))
        values[..., 1] = _clipped(values[..., 1], saturation, 0.0)
        values[..., 0] = (values[..., 0].astype(np.int64) + round(turn * 256 / 180)) % 256
        if saturation != 1 or turn:
            pixels = np.asarray(Image.fromarray(values, mode="HSV").convert("RGB"))
        return pixels if contrast_first else _clipped(pixels, self._factor(rng), 0.0)

    def _factor(self, rng: np.random.Generator) -> float:
        return 1 + float(rng.uniform(-1, 1)) * self.reach if rng.integers(2) else 1.0


def _clipped(levels: Array, factor: float, addend: float) -> Array:
    return np.clip(levels * np.float32(factor) + np.float32(addend), 0, 255).astype(np.uint8)


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
