"""What stands in a generated street: vehicles and people, in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cityscapes.canvas import Canvas, Colour


@dataclass(frozen=True)
class Place:
    """Where something stands: its middle `x` and ground row `y`, and the pixels of a metre there."""

    canvas: Canvas
    x: float
    y: float
    metre: float

    def box(self, name: str, colour: Colour, left: float, low: float, right: float, high: float) -> None:
        """A box in metres from where it stands."""
        x, y, metre = self.x, self.y, self.metre
        self.canvas.box(name, colour, x + left * metre, y - high * metre, x + right * metre, y - low * metre)

    def ellipse(self, name: str, colour: Colour, centre: tuple[float, float], radii: tuple[float, float]) -> None:
        """An ellipse in metres from where it stands."""
        x, y, metre = self.x, self.y, self.metre
        middle = x + centre[0] * metre, y - centre[1] * metre
        self.canvas.ellipse(name, colour, middle, (radii[0] * metre, radii[1] * metre))


def _draw_vehicle(place: Place, name: str, colour: Colour, width: float, height: float) -> None:
    """A vehicle from behind: body, rear window, lamps and wheels."""
    half = width / 2
    paint = np.array(colour) * place.canvas.rng.uniform(0.75, 1.25, 3)
    for left in (-half, half - 0.25):
        place.box(name, (0.06, 0.06, 0.07), left, 0.0, left + 0.25, 0.6)
    place.box(name, paint, -half, 0.3, half, height * 0.62)
    place.box(name, paint, -0.85 * half, height * 0.6, 0.85 * half, height)
    place.box(name, (0.16, 0.2, 0.25), -0.75 * half, height * 0.62, 0.75 * half, height * 0.92)
    for side in (-1, 1):
        place.ellipse(name, (0.8, 0.1, 0.08), (side * half * 0.85, height * 0.5), (0.12, 0.12))


def draw_car(place: Place) -> None:
    _draw_vehicle(place, "car", (0.25, 0.3, 0.65), 1.8, 1.5)


def draw_truck(place: Place) -> None:
    _draw_vehicle(place, "truck", (0.8, 0.76, 0.7), 2.4, 3.0)
    place.box("truck", (0.88, 0.86, 0.8), -1.25, 1.2, 1.25, 3.3)


def draw_bus(place: Place) -> None:
    _draw_vehicle(place, "bus", (0.85, 0.5, 0.12), 2.6, 3.1)


def draw_train(place: Place) -> None:
    _draw_vehicle(place, "train", (0.12, 0.55, 0.5), 2.7, 3.7)
    place.box("train", (0.9, 0.9, 0.85), -1.35, 1.4, 1.35, 1.7)


def draw_person(place: Place, name: str = "person", colour: Colour = (0.72, 0.3, 0.32)) -> None:
    place.box(name, (0.2, 0.2, 0.3), -0.2, 0.0, 0.2, 0.85)
    place.box(name, np.array(colour) * place.canvas.rng.uniform(0.8, 1.2, 3), -0.28, 0.8, 0.28, 1.5)
    place.ellipse(name, (0.8, 0.6, 0.5), (0.0, 1.62), (0.16, 0.18))


def _draw_two_wheeler(place: Place, name: str, colour: Colour, wheel: float) -> None:
    """A machine from the side, with its rider."""
    raised = Place(place.canvas, place.x, place.y - 0.45 * place.metre, place.metre)
    draw_person(raised, "rider", (0.85, 0.85, 0.2))
    for side in (-1, 1):
        place.ellipse(name, (0.08, 0.08, 0.08), (side * 0.6, wheel), (wheel, wheel))
    place.box(name, colour, -0.6, wheel, 0.6, wheel + 0.3)
    place.box(name, colour, 0.4, wheel, 0.5, 1.1)


def draw_motorcycle(place: Place) -> None:
    _draw_two_wheeler(place, "motorcycle", (0.15, 0.15, 0.75), 0.33)


def draw_bicycle(place: Place) -> None:
    _draw_two_wheeler(place, "bicycle", (0.5, 0.1, 0.2), 0.38)
