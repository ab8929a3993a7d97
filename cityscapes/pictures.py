"""Side-by-side pictures for the report: input, labels, each framework's classes, and where they disagree."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from cityscapes.labels import IGNORED, PALETTE
from cityscapes.layout import Decoded

Array = np.ndarray[Any, Any]

KEPT = 6
WIDEST = 512
"""Pixels; wider pictures are shrunk by a whole factor."""
FLIPPED, SAME = (213, 94, 0), (232, 236, 240)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image's panels: title -> PNG as a data URI. `index` is its place in the split."""

    index: int
    name: str
    differing: int
    panels: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Everything, by field."""
        return asdict(self)


def choose_pictures(pictures: Sequence[Picture]) -> list[Picture]:
    """Those in which most pixels differ, else the first of the split: whatever the order they come in."""
    return sorted(pictures, key=lambda picture: (-picture.differing, picture.index))[:KEPT]


def draw_picture(index: int, sample: Decoded, classes: Mapping[str, Array], flipped: Array | None) -> Picture:
    """`classes` are train ids (H, W) by framework; `flipped` (H, W) bool where there are two."""
    factor = -(-sample.label.shape[1] // WIDEST)
    panels = {"input": _png(_average(sample.pixels, factor)), "labels": _draw_classes(sample.label, factor)}
    for name, chosen in classes.items():
        # As the benchmark sees it: what has no label is not judged.
        judged = np.where(sample.label == IGNORED, IGNORED, chosen)
        panels[name] = _draw_classes(judged, factor)
    if flipped is not None:
        panels["disagreement"] = _png(np.where(_any(flipped, factor)[..., None], FLIPPED, SAME).astype(np.uint8))
    differing = 0 if flipped is None else int(flipped.sum())
    return Picture(index=index, name=sample.name, differing=differing, panels=panels)


def _draw_classes(train_ids: Array, factor: int) -> str:
    return _png(PALETTE[train_ids[::factor, ::factor]])


def _average(pixels: Array, factor: int) -> Array:
    return np.asarray(Image.fromarray(pixels).reduce(factor))


def _any(mask: Array, factor: int) -> Array:
    """Shrunk so that no single pixel is lost."""
    height, width = (-(-side // factor) for side in mask.shape)
    padded = np.zeros((height * factor, width * factor), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(padded.reshape(height, factor, width, factor).any((1, 3)))


def _png(pixels: Array) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
