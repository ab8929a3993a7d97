"""Streets as a camera in a car sees them: made up, but with every evaluated class and exact labels.

Sizes are in metres, projected by a pinhole camera CAMERA_HEIGHT above a flat ground.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cityscapes.canvas import Array, Canvas, Colour
from cityscapes.labels import ID_OF
from cityscapes.objects import (
    Place,
    draw_bicycle,
    draw_bus,
    draw_car,
    draw_motorcycle,
    draw_person,
    draw_train,
    draw_truck,
)

CAMERA_HEIGHT = 1.5
FOCAL = 1.1
"""Focal length over the picture's width, about Cityscapes' own."""
ROAD_HALF, SIDEWALK_HALF, BARRIER, VERGE_HALF = 4.5, 6.8, 10.0, 11.0
"""Metres from the middle of the street to the outer edges of road, sidewalk and grass, and to wall and fence."""
ATTEMPTS = 50


@dataclass(frozen=True)
class View:
    """The camera: where `horizon` and vanishing point lie, in pixels."""

    horizon: float
    middle: float
    focal: float

    def scale(self, distance: float) -> float:
        """Pixels of a metre at this distance."""
        return self.focal / distance

    def ground(self, distance: float) -> float:
        """Row of the ground at this distance."""
        return self.horizon + self.scale(distance) * CAMERA_HEIGHT

    def column(self, metres: float, distance: float) -> float:
        """Column of what is so far right of the middle, at this distance."""
        return self.middle + self.scale(distance) * metres


def make_scene(height: int, width: int, seed: list[int]) -> tuple[Array, Array]:
    """A picture (H, W, 3) uint8 and its label ids (H, W) uint8 with all 19 classes; the same for the same seed.

    Raises ValueError if the picture is too small for all classes to be seen.
    """
    for attempt in range(ATTEMPTS):
        pixels, ids = _draw(Canvas(height, width, np.random.default_rng([*seed, attempt])))
        if np.isin(ID_OF, ids).all():
            return pixels, ids
    raise ValueError(f"{height} × {width} is too small for a street with 19 classes; use at least 64 × 128")


def _draw(canvas: Canvas) -> tuple[Array, Array]:
    rng, height, width = canvas.rng, canvas.height, canvas.width
    view = View(horizon=height * rng.uniform(0.38, 0.46), middle=width * rng.uniform(0.46, 0.54), focal=width * FOCAL)
    _draw_sky(canvas, view)
    _draw_surfaces(canvas, view)
    _draw_sides(canvas, view)
    _draw_street_furniture(canvas, view)
    _draw_traffic(canvas, view)
    bonnet = width * rng.uniform(0.36, 0.42), height * rng.uniform(0.05, 0.08)
    canvas.ellipse("ego vehicle", (0.12, 0.12, 0.14), (width / 2, height + 0.5), bonnet)
    return canvas.finish(light=rng.uniform(0.8, 1.1), grain=0.025)


def _draw_sky(canvas: Canvas, view: View) -> None:
    canvas.box("sky", (0.62, 0.75, 0.9), 0, 0, canvas.width, view.horizon + 1)
    rows = max(round(view.horizon), 1)
    canvas.pixels[:rows] *= np.linspace(0.85, 1.1, rows, dtype=np.float32)[:, None, None]
    for _ in range(canvas.rng.integers(2, 6)):
        centre = canvas.rng.uniform(0, canvas.width), canvas.rng.uniform(0, view.horizon * 0.6)
        radii = canvas.rng.uniform(0.05, 0.15) * canvas.width, canvas.rng.uniform(0.01, 0.03) * canvas.height
        canvas.ellipse("sky", (0.9, 0.92, 0.95), centre, radii)


def _draw_surfaces(canvas: Canvas, view: View) -> None:
    """Ground of the whole width, then verge, sidewalk and road to the vanishing point, and the road's markings."""
    canvas.box("terrain", (0.45, 0.55, 0.28), 0, view.horizon, canvas.width, canvas.height)
    for name, half, colour in (
        ("sidewalk", SIDEWALK_HALF, (0.62, 0.58, 0.58)),
        ("road", ROAD_HALF, (0.34, 0.33, 0.36)),
    ):
        _draw_strip(canvas, view, name, colour, -half, half)
    for metres in (-1.6, 1.6):
        _draw_strip(canvas, view, "road", (0.8, 0.8, 0.78), metres - 0.07, metres + 0.07)


def _draw_strip(canvas: Canvas, view: View, name: str, colour: Colour, left: float, right: float) -> None:
    near, far = 0.9 * CAMERA_HEIGHT * view.focal / (canvas.height - view.horizon), 150.0
    corners = [(left, far), (right, far), (right, near), (left, near)]
    canvas.polygon(name, colour, [(view.column(x, z), view.ground(z)) for x, z in corners])


def _draw_sides(canvas: Canvas, view: View) -> None:
    """Houses, trees, a wall and a fence along both sides, from far to near."""
    rng = canvas.rng
    walls = rng.permutation([-1, 1])
    for distance in (110.0, 80.0, 60.0, 46.0, 36.0, 28.0):
        for side in (-1, 1):
            _draw_house(canvas, view, side, distance * rng.uniform(0.95, 1.05))
            if rng.random() < 0.6:
                _draw_tree(canvas, view, side * rng.uniform(8.0, 9.5), distance * rng.uniform(0.8, 0.9))
    for side, name, colour in zip(walls, ("wall", "fence"), ((0.5, 0.44, 0.5), (0.62, 0.5, 0.42)), strict=True):
        _draw_barrier(canvas, view, name, colour, side)
    _draw_tree(canvas, view, -8.8, rng.uniform(20, 26))
    _draw_tree(canvas, view, 8.8, rng.uniform(20, 26))


def _draw_house(canvas: Canvas, view: View, side: int, distance: float) -> None:
    rng, metre = canvas.rng, view.scale(distance)
    inner, outer = VERGE_HALF + rng.uniform(0, 1), 40.0
    left, right = sorted((view.column(side * inner, distance), view.column(side * outer, distance)))
    top, bottom = view.ground(distance) - metre * rng.uniform(7, 15), view.ground(distance)
    colour = np.array([0.52, 0.45, 0.4]) + rng.uniform(-0.12, 0.12, 3)
    canvas.box("building", colour, left, top, right, bottom)
    canvas.windows((0.2, 0.23, 0.28), (left, top + metre, right, bottom - 2 * metre), (2.6 * metre, 3 * metre))


def _draw_tree(canvas: Canvas, view: View, metres: float, distance: float) -> None:
    rng, metre = canvas.rng, view.scale(distance)
    x, y = view.column(metres, distance), view.ground(distance)
    canvas.box("vegetation", (0.3, 0.22, 0.15), x - 0.15 * metre, y - 2.5 * metre, x + 0.15 * metre, y)
    for _ in range(rng.integers(5, 9)):
        centre = x + rng.uniform(-1.2, 1.2) * metre, y - rng.uniform(2.6, 5.0) * metre
        canvas.ellipse("vegetation", (0.2, 0.38, 0.16), centre, (1.1 * metre, 0.9 * metre))


def _draw_barrier(canvas: Canvas, view: View, name: str, colour: Colour, side: int) -> None:
    """A wall or fence beside the sidewalk, seen along its length."""
    rng = canvas.rng
    near, far, height = rng.uniform(13, 16), rng.uniform(45, 60), rng.uniform(1.2, 1.8)
    ends = [(view.column(side * BARRIER, z), view.ground(z), height * view.scale(z)) for z in (near, far)]
    (x0, y0, h0), (x1, y1, h1) = sorted(ends)
    canvas.polygon(name, colour, [(x0, y0 - h0), (x1, y1 - h1), (x1, y1), (x0, y0)])


def _draw_street_furniture(canvas: Canvas, view: View) -> None:
    """Poles with a light or a sign at the kerb, high enough to stand out over the traffic."""
    rng = canvas.rng
    for distance in rng.permutation([34.0, 24.0, 17.0]):
        for side in (-1, 1):
            kind = "traffic light" if rng.random() < 0.5 else "traffic sign"
            _draw_post(canvas, view, kind, side * (ROAD_HALF + 0.5), distance * rng.uniform(0.95, 1.05))
    _draw_post(canvas, view, "traffic light", -ROAD_HALF - 0.5, 13.0)
    _draw_post(canvas, view, "traffic sign", ROAD_HALF + 0.5, 13.0)
    x, y, metre = view.column(-6.5, 15.0), view.ground(15.0), view.scale(15.0)
    canvas.box("static", (0.25, 0.3, 0.28), x, y - metre, x + 0.7 * metre, y)


def _draw_post(canvas: Canvas, view: View, kind: str, metres: float, distance: float) -> None:
    x, y, metre = view.column(metres, distance), view.ground(distance), view.scale(distance)
    canvas.box("pole", (0.55, 0.56, 0.56), x - 0.08 * metre, y - 4.2 * metre, x + 0.08 * metre, y)
    if kind == "traffic sign":
        canvas.ellipse(kind, (0.85, 0.75, 0.12), (x, y - 3.6 * metre), (0.45 * metre, 0.45 * metre))
        return
    top = y - 4.2 * metre
    canvas.box(kind, (0.15, 0.16, 0.14), x - 0.25 * metre, top, x + 0.25 * metre, top + 1.1 * metre)
    canvas.ellipse(kind, (0.95, 0.25, 0.15), (x, top + 0.3 * metre), (0.15 * metre, 0.15 * metre))


IN_LANE: tuple[Callable[[Place], None], ...] = (draw_car, draw_truck, draw_bus, draw_train, draw_motorcycle)
AT_KERB: tuple[Callable[[Place], None], ...] = (draw_person, draw_bicycle)
NEAREST, FARTHEST = 12.0, 30.0
"""Metres."""


def _draw_traffic(canvas: Canvas, view: View) -> None:
    """One of each in a column of its own, so that none hides another, over some more of the common ones."""
    rng = canvas.rng
    order = [AT_KERB[0], *(IN_LANE[i] for i in rng.permutation(len(IN_LANE))), AT_KERB[1]]
    columns = canvas.width * (np.arange(len(order)) + 0.5) / len(order)
    standing = [
        (rng.uniform(NEAREST, FARTHEST), column + rng.uniform(-0.02, 0.02) * canvas.width, draw)
        for column, draw in zip(columns, order[:: rng.choice([-1, 1])], strict=True)
    ]
    for draw in (draw_car, draw_person, draw_person):
        standing.append((rng.uniform(40, 60), rng.uniform(0.2, 0.8) * canvas.width, draw))
    for distance, x, draw in sorted(standing, key=lambda item: -item[0]):
        draw(Place(canvas, x, view.ground(distance), view.scale(distance)))
