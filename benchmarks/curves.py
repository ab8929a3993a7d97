"""A line chart as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 48
COLOURS = ("#1f6fb4", "#d9622b", "#3a8a4d", "#8050a8")
MOST_TICKS = 7


def draw_curves(curves: Mapping[str, Sequence[Mapping[int, float]]], *, x: str, y: str) -> str:
    """Each name's curves, {x: y}, in one colour, with axes called `x` and `y`. Both axes start at 0."""
    points = [point for group in curves.values() for curve in group for point in curve.items()]
    most_x, most_y = max(place for place, _ in points), max(value for _, value in points) * 1.05
    left, floor = LEFT, HEIGHT - BOTTOM

    def at(place: float, value: float) -> tuple[float, float]:
        across, up = (WIDTH - LEFT - RIGHT) * place / most_x, (HEIGHT - TOP - BOTTOM) * value / most_y
        return round(LEFT + across, 1), round(HEIGHT - BOTTOM - up, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    ]
    for value in make_ticks(most_y):
        height = at(0, value)[1]
        parts.append(f'<path d="M{left} {height}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{height + 4}" text-anchor="end">{value:g}</text>')
    for place in make_ticks(most_x):
        parts.append(f'<text x="{at(place, 0)[0]}" y="{floor + 16}" text-anchor="middle">{place:g}</text>')
    for (name, group), colour, line in zip(curves.items(), COLOURS, range(len(COLOURS)), strict=False):
        for curve in group:
            path = " ".join(f"{a},{b}" for a, b in (at(*point) for point in sorted(curve.items())))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + 12}" y="{TOP + 14 + 16 * line}" fill="{colour}">{escape(name)}</text>')
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x)}</text>')
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(y)}</text></svg>')
    return "\n".join(parts) + "\n"


def make_ticks(most: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from 0 to at most `most`."""
    steps = (digit * 10.0**power for power in range(-6, 9) for digit in (1, 2, 5))
    step = next(step for step in steps if most / step < MOST_TICKS)
    return [index * step for index in range(int(most / step) + 1)]
