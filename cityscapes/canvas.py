"""A picture and its label ids, painted together: what is seen at a pixel and what it is called never disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cityscapes.labels import IDS

Array = np.ndarray[Any, Any]
Colour = Sequence[float] | Array
Point = tuple[float, float]

VOID_IDS = {"ego vehicle": 1, "static": 4}
"""Ids of what is painted but not evaluated."""


class Canvas:
    """`pixels` (H, W, 3) float32, 0 … 1, and `ids` (H, W) uint8. Positions are (x, y) in pixels, y downwards."""

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self.height, self.width, self.rng = height, width, rng
        self.pixels = np.zeros((height, width, 3), np.float32)
        self.ids = np.zeros((height, width), np.uint8)

    def box(self, name: str, colour: Colour, left: float, top: float, right: float, bottom: float) -> None:
        """An upright rectangle, at least one pixel in each direction."""
        rows, columns = self._window(left, top, right, bottom)
        self._fill(name, colour, rows, columns, None)

    def ellipse(self, name: str, colour: Colour, centre: Point, radii: Point) -> None:
        """An upright ellipse."""
        (x, y), (a, b) = centre, (max(radii[0], 0.6), max(radii[1], 0.6))
        rows, columns = self._window(x - a, y - b, x + a, y + b)
        ys, xs = self._grid(rows, columns)
        self._fill(name, colour, rows, columns, ((xs - x) / a) ** 2 + ((ys - y) / b) ** 2 <= 1)

    def polygon(self, name: str, colour: Colour, corners: Sequence[Point]) -> None:
        """A convex polygon, its corners clockwise as seen."""
        across, down = zip(*corners, strict=True)
        rows, columns = self._window(min(across), min(down), max(across), max(down))
        ys, xs = self._grid(rows, columns)
        inside = np.ones(np.broadcast_shapes(ys.shape, xs.shape), bool)
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            inside &= (x1 - x0) * (ys - y0) >= (y1 - y0) * (xs - x0)
        self._fill(name, colour, rows, columns, inside)

    def windows(self, colour: Colour, box: tuple[float, float, float, float], step: Point) -> None:
        """A grid of windows on what was painted inside `box` (left, top, right, bottom): no other label."""
        rows, columns = self._window(*box)
        ys, xs = self._grid(rows, columns)
        panes = ((xs - box[0]) / step[0] % 1 > 0.45) & ((ys - box[1]) / step[1] % 1 > 0.45)
        self.pixels[rows, columns][panes] = colour

    def finish(self, *, light: float, grain: float) -> tuple[Array, Array]:
        """Pixels (H, W, 3) uint8, in this light and with camera noise, and ids."""
        coarse = self.rng.standard_normal((-(-self.height // 8), -(-self.width // 8)), dtype=np.float32)
        patches = coarse.repeat(8, 0).repeat(8, 1)[: self.height, : self.width]
        fine = self.rng.standard_normal((self.height, self.width), dtype=np.float32)
        shade = light * (1 + grain * (patches + fine))
        return (np.clip(self.pixels * shade[..., None], 0, 1) * 255).round().astype(np.uint8), self.ids

    def _window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        return _span(top, bottom, self.height), _span(left, right, self.width)

    def _grid(self, rows: slice, columns: slice) -> tuple[Array, Array]:
        """Centres of the pixels."""
        return np.arange(rows.start, rows.stop)[:, None] + 0.5, np.arange(columns.start, columns.stop) + 0.5

    def _fill(self, name: str, colour: Colour, rows: slice, columns: slice, inside: Array | None) -> None:
        shade = np.asarray(colour, np.float32) * self.rng.uniform(0.9, 1.1)
        where: Any = ... if inside is None else inside
        self.pixels[rows, columns][where] = shade
        self.ids[rows, columns][where] = VOID_IDS[name] if name in VOID_IDS else IDS[name]


def _span(low: float, high: float, size: int) -> slice:
    start = min(max(round(low), 0), size)
    return slice(start, min(max(round(high), round(low) + 1, start), size))
