"""Test charts: pictures that show what an augmentation did to them, whoever wrote it.

A chart is striped: stripe k of 19, along its columns or its rows, has the class k and that class's colour. Where the
borders of stripes lie in what comes out tells scale, mirroring and place; the colours inside stripes tell how pixels
were normalised; what is ignored tells the padding.

    draw = read_chart(*augment(*make_chart((128, 256), axis=1)))
    draw.scale, draw.is_mirrored
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cityscapes.labels import ID_OF, IGNORED, NUM_CLASSES, PALETTE
from cityscapes.layout import ID_ENDING, IMAGE_ENDING, IMAGES, LABELS, TRAIN_ID_ENDING

Array = np.ndarray[Any, Any]

MARGIN = 3
"""Pixels beside a stripe's border that a resize mixes."""


@dataclass(frozen=True)
class Draw:
    """What was done to one chart along its axis.

    `start` is the source position, in pixels of the scaled picture, at which the output begins, before any mirroring:
    positive where it was cropped, negative where it was padded on that side. `extent` is the scaled picture's side.
    `colours` (19, C) are the values inside stripes, NaN where none is seen; `padding` (C,) the values of ignored
    pixels, or None.
    """

    axis: int
    scale: float
    is_mirrored: bool
    start: float
    extent: float
    crop: tuple[int, int]
    colours: Array
    padding: Array | None
    strangers: int
    """Labels that are no class and not 255."""
    crooked: int
    """Labels that are another than the stripe's, as after a rotation."""
    uneven: float
    """Greatest distance of a pixel inside a stripe from the mean of that stripe's, as after a blur."""


@dataclass
class Drawn:
    """What was done to charts, how many of them could not be read, and all labels that were seen."""

    draws: list[Draw] = field(default_factory=list)
    lost: int = 0
    labels: set[int] = field(default_factory=set)


def make_chart(size: tuple[int, int], axis: int) -> tuple[Array, Array]:
    """Pixels (H, W, 3) uint8 RGB and labels (H, W) uint8 of a chart whose stripes lie along `axis`."""
    stripes = np.arange(size[axis]) * NUM_CLASSES // size[axis]
    labels = np.broadcast_to(stripes[:, None] if axis == 0 else stripes[None], size).astype(np.uint8)
    return PALETTE[labels], labels.copy()


def write_charts(root: Path, size: tuple[int, int]) -> None:
    """Charts as a data set in Cityscapes' layout: one of each axis in both splits, with both kinds of label files."""
    for split in ("train", "val"):
        for axis in (0, 1):
            pixels, labels = make_chart(size, axis)
            name = f"chart_{axis:06d}_{axis:06d}"
            for folder, ending, content in (
                (IMAGES, IMAGE_ENDING, pixels),
                (LABELS, ID_ENDING, ID_OF[labels]),
                (LABELS, TRAIN_ID_ENDING, labels),
            ):
                path = root / folder / split / "chart" / f"{name}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(content).save(path, "PNG", compress_level=1)


def read_chart(image: Array, labels: Array, size: tuple[int, int]) -> Draw | None:
    """What an augmentation did to a chart of `size`, from its image (C, h, w) and labels (h, w).

    None where too little of it is seen: fewer than two borders of stripes.
    """
    lines = {axis: _find_borders(labels, axis) for axis in (0, 1)}
    axis = max(lines, key=lambda axis: len(lines[axis][0]))
    places, stripes = lines[axis]
    if len(places) < 2:
        return None
    sources = np.ceil((stripes + 1) * size[axis] / NUM_CLASSES)  # the first position of the next stripe
    scale, first = np.polyfit(sources, places, 1)
    mirrored = bool(scale < 0)
    if mirrored:
        scale, first = np.polyfit(sources, labels.shape[axis] - places, 1)
    known = labels[labels < NUM_CLASSES]
    colours, uneven = _read_colours(image, labels)
    return Draw(
        axis=axis,
        scale=float(scale),
        is_mirrored=mirrored,
        start=-float(first),
        extent=float(scale) * size[axis],
        crop=(labels.shape[0], labels.shape[1]),
        colours=colours,
        padding=_read_padding(image, labels),
        strangers=int(labels.size - known.size - (labels == IGNORED).sum()),
        crooked=_count_crooked(labels, axis),
        uneven=uneven,
    )


def _find_borders(labels: Array, axis: int) -> tuple[Array, Array]:
    """Places of borders between neighbouring stripes along `axis`, and the lower stripe of each."""
    valid = labels != IGNORED
    others = np.flatnonzero(valid.any(axis))
    if not len(others):
        return np.zeros(0), np.zeros(0)
    line = labels.take(others[len(others) // 2], 1 - axis).astype(np.int64)
    before, after = line[:-1], line[1:]
    border = (np.abs(after - before) == 1) & (before < NUM_CLASSES) & (after < NUM_CLASSES)
    return np.flatnonzero(border) + 1.0, np.minimum(before, after)[border].astype(np.float64)


def _count_crooked(labels: Array, axis: int) -> int:
    """Labels other than the first on their line across `axis`; neither may be ignored."""
    lines = labels if axis == 1 else labels.T
    valid = lines != IGNORED
    first = np.take_along_axis(lines, valid.argmax(0)[None], 0)
    return int((valid & (lines != first)).sum())


def _read_colours(image: Array, labels: Array) -> tuple[Array, float]:
    """(19, C): the values in the middle of each stripe, NaN for one not seen, and how far pixels are from them."""
    found = np.full((NUM_CLASSES, len(image)), np.nan)
    inside = _surrounded(labels)
    flat, classes = image[:, inside], labels[inside]
    for number in np.unique(classes[classes < NUM_CLASSES]):
        found[number] = flat[:, classes == number].mean(1)
    known = classes < NUM_CLASSES
    return found, float(np.abs(flat[:, known] - found[classes[known]].T).max(initial=0.0))


def _read_padding(image: Array, labels: Array) -> Array | None:
    """(C,): the values of ignored pixels, away from others; None where there are none."""
    ignored = _surrounded(labels) & (labels == IGNORED)
    return image[:, ignored].mean(1) if ignored.any() else None


def _surrounded(labels: Array) -> Array:
    """Where the labels are the same all around, and no border of the picture is near."""
    found = np.zeros(labels.shape, bool)
    middle = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    found[middle] = True
    for axis in (0, 1):
        for step in (-MARGIN, -1, 1, MARGIN):
            found &= np.roll(labels, step, axis) == labels
    return found
