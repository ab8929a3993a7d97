"""The published augmentations, from one NumPy stream.

The official one (speedinghzl/CCNet, dataset/datasets.py, `CSDataSet`), and what PaddleSeg and mmsegmentation do
otherwise (`recipe.recipe`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from families import Preprocessing
from recipe.distortion import Distortion, PhotometricDistortion

Array = np.ndarray[Any, Any]

IGNORE_INDEX = 255
CROP = (769, 769)
"""Of training, (H, W)."""
CROP_TRIES = 10
"""By which mmsegmentation finds a crop that no class fills (datasets/transforms, `RandomCrop`)."""


class Between(NamedTuple):
    """Any scale from `least` to `most`, each as likely."""

    least: float
    most: float


Scales = tuple[float, ...] | Between
"""A list of scales is drawn from, each as likely."""
SCALES = tuple(0.7 + step / 10 for step in range(15))
"""0.7 to 2.1."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Scale, crop and mirror at random, drawn in this order, change colours by `distortion`; then normalise.

    A crop of which one class has `most_of_a_class` or more of what is labelled is drawn again, a few times.
    Where the scaled picture is smaller than `crop` (H, W), it is padded below and to the right: pixels with the level
    `padding` or, where that is None, with zeros after normalisation; labels with 255.
    """

    preprocessing: Preprocessing
    crop: tuple[int, int] = CROP
    scales: Scales = SCALES
    mirror: bool = True
    padding: float | None = None
    most_of_a_class: float = 1.0
    distortion: Distortion | PhotometricDistortion | None = None

    def __call__(self, pixels: Array, labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Pixels (H, W, 3) uint8 RGB, labels (H, W) uint8 -> (3, *crop) float32 and (*crop) int64."""
        scale = self.draw_scale(rng)
        size = tuple(round(side * scale) for side in labels.shape)
        rows, columns, seen = self._draw_crop(labels, scale, size, rng)
        flip = self.mirror and bool(rng.integers(2))
        target = np.full(self.crop, IGNORE_INDEX, np.int64)
        target[: len(rows), : len(columns)] = seen
        image = self._fill(resize_pixels(pixels, rows, columns, scale), rng)
        if flip:
            image, target = image[:, :, ::-1], target[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(target)

    def draw_scale(self, rng: np.random.Generator) -> float:
        """One of `scales`, or any between them."""
        if isinstance(self.scales, Between):
            return float(rng.uniform(*self.scales))
        return self.scales[rng.integers(len(self.scales))]

    def _draw_crop(
        self, labels: Array, scale: float, size: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Rows and columns of the scaled picture of `size`, and their labels."""
        for _ in range(CROP_TRIES):
            rows, columns = (
                np.arange(offset := int(rng.integers(max(side - crop, 0) + 1)), min(offset + crop, side))
                for side, crop in zip(size, self.crop, strict=True)
            )
            seen = resize_labels(labels, rows, columns, scale)
            if self.most_of_a_class >= 1 or not self._is_filled(seen):
                break
        return rows, columns, seen

    def _is_filled(self, labels: Array) -> bool:
        """Whether one class has too much of what is labelled."""
        counts = np.bincount(labels[labels != IGNORE_INDEX])
        return bool(np.count_nonzero(counts) < 2 or counts.max() >= self.most_of_a_class * counts.sum())

    def _fill(self, seen: Array, rng: np.random.Generator) -> Array:
        """What is seen of the picture (h, w, 3), padded, with other colours, normalised: (3, *crop) float32."""
        height, width = seen.shape[:2]
        if self.padding is None:
            levels = seen if self.distortion is None else self.distortion(seen.astype(np.uint8), rng)
            image = np.zeros((3, *self.crop), np.float32)
            image[:, :height, :width] = self._normalise(levels)
            return image
        levels = np.full((*self.crop, 3), self.padding, np.float32)
        levels[:height, :width] = seen
        return self._normalise(levels if self.distortion is None else self.distortion(levels.astype(np.uint8), rng))

    def _normalise(self, pixels: Array) -> Array:
        ordered = pixels[..., ::-1] if self.preprocessing.channel_order == "BGR" else pixels
        mean, deviation = (
            np.array(part, np.float32) for part in (self.preprocessing.mean, self.preprocessing.deviation)
        )
        return np.asarray(((ordered - mean) / deviation).transpose(2, 0, 1))


def resize_pixels(pixels: Array, rows: Array, columns: Array, scale: float) -> Array:
    """Rows and columns of the picture (H, W, C) uint8 resized `scale` times, bilinear, rounded to whole levels.

    As OpenCV's INTER_LINEAR, whose fixed-point weights are at most one level off.
    """
    values = pixels.astype(np.float32)
    for axis, wanted in enumerate((rows, columns)):
        last = pixels.shape[axis] - 1
        position = np.clip((wanted + 0.5) * (1 / scale) - 0.5, 0, last)
        low = position.astype(np.int64)
        share = (position - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        below, above = values.take(low, axis), values.take(np.minimum(low + 1, last), axis)
        values = below + share * (above - below)
    return np.asarray(np.rint(values))


def resize_labels(labels: Array, rows: Array, columns: Array, scale: float) -> Array:
    """The same rows and columns of `labels` (H, W), each the label it falls on, as OpenCV's INTER_NEAREST."""
    for axis, wanted in enumerate((rows, columns)):
        labels = labels.take(np.minimum((wanted * (1 / scale)).astype(np.int64), labels.shape[axis] - 1), axis)
    return labels
