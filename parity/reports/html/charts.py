"""Charts of error per layer, on a log scale, as SVG path data.

Positions are percentages of the plot, y downwards; x runs from 0 to the number of probes. The page stretches
the SVG to the width it has and writes all text as HTML over it, so that text never scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parity.reports.html.probes import Probe, badness, figure, limit_of
from parity.verdicts.report import Layer

TOP, BOTTOM = 9.0, 86.0
"""Of the log scale."""
ZERO, OFF = 95.0, 3.0
"""Where exact equality and what has no figure (NaN, another shape) are drawn: below and above the scale."""
MOST_TICKS = 5

TITLES = {
    ("isolated", "float64"): "same function?",
    ("free", "float64"): "how it grows",
    ("isolated", "float32"): "ordinary rounding?",
    ("free", "float32"): "how it grows",
}


@dataclass(frozen=True)
class Scale:
    """Powers of ten from `low` to `high`, drawn from BOTTOM to TOP."""

    low: int
    high: int

    def height(self, value: float | None) -> float | None:
        """Where `value` is drawn; None for no value."""
        if value is None:
            return None
        if value == 0:
            return ZERO
        if not math.isfinite(value):
            return OFF
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(BOTTOM - (BOTTOM - TOP) * min(max(share, 0.0), 1.0), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """(position, label) of some powers of ten, and of zero."""
        step = -(-(self.high - self.low) // MOST_TICKS)
        powers = [
            (float(self.height(10.0**power) or 0), f"1e{power}") for power in range(self.low, self.high + 1, step)
        ]
        return [(ZERO, "0"), *powers]


@dataclass(frozen=True)
class Panel:
    """One chart. `dots`, `failing` and `stems` are the measurements; `allowed` and `floor` the areas behind.

    `heights` has one position per probe, None where it was not measured.
    """

    mode: str
    dtype: str
    title: str
    note: str
    count: int
    scale: Scale
    heights: list[float | None]
    dots: str
    failing: str
    stems: str
    allowed: str
    floor: str


def make_panel(probes: Sequence[Probe], mode: str, dtype: str) -> Panel:
    """The chart of one mode and dtype: each probe at its worst over the inputs."""
    worst = [probe.worst(mode, dtype) for probe in probes]
    measured = [layer for layer in worst if layer is not None]
    has_truth = any(layer.comparison.noise_ratio is not None for layer in measured)
    limit = limit_of(dtype, has_truth=has_truth)
    values = [_value(layer, has_truth=has_truth) for layer in worst]
    floors = [layer.comparison.noise_floor if layer and has_truth else None for layer in worst]
    allowances = [None if floor is None else limit * floor for floor in floors] if has_truth else [limit] * len(worst)
    scale = _fit([*values, *floors, *allowances])
    heights = [scale.height(value) for value in values]
    passed = [layer is None or bool(layer.comparison) for layer in worst]
    good, bad = ([i for i, ok in enumerate(passed) if ok is wanted] for wanted in (True, False))
    return Panel(
        mode=mode,
        dtype=dtype,
        title=TITLES[mode, dtype],
        note=_note(measured, limit),
        count=len(probes),
        scale=scale,
        heights=heights,
        dots=_dots(good, heights),
        failing=_dots(bad, heights),
        stems="".join(f"M{i}.5 100V{heights[i]:g}" for i in bad),
        allowed=_area(scale.height(value) for value in allowances),
        floor=_area(scale.height(value) for value in floors) if has_truth else "",
    )


def _value(layer: Layer | None, *, has_truth: bool) -> float | None:
    """Paddle's distance from the truth where there is one, else the difference over the RMS."""
    if layer is None:
        return None
    comparison = layer.comparison
    if not has_truth:
        return comparison.relative
    if comparison.noise_ratio is None or comparison.noise_floor is None:
        return math.inf
    return comparison.noise_ratio * comparison.noise_floor


def _note(layers: Sequence[Layer], limit: float) -> str:
    failures = sum(not layer.comparison for layer in layers)
    needed = max(layers, key=badness).comparison.required_tolerance
    verdict = f"{failures} of {len(layers)} failed" if failures else f"{len(layers)} of {len(layers)} passed"
    worst = f"worst {figure(needed)}" if math.isfinite(needed) else "some cannot be compared"
    return f"{verdict}, {worst} (limit {limit:g})"


def _fit(values: Iterable[float | None]) -> Scale:
    logs = [math.log10(value) for value in values if value and math.isfinite(value)]
    low, high = (math.floor(min(logs)), math.ceil(max(logs))) if logs else (0, 1)
    return Scale(low, max(high, low + 1))


def _dots(indices: Iterable[int], heights: Sequence[float | None]) -> str:
    """Lines of no length: with round caps and a stroke that does not scale, each is a dot."""
    return "".join(f"M{i}.5 {heights[i]:g}h0" for i in indices if heights[i] is not None)


def _area(heights: Iterable[float | None]) -> str:
    """The area below one step per probe."""
    steps = "".join(f"V{100 if y is None else y:g}H{i + 1}" for i, y in enumerate(heights))
    return f"M0 100{steps}V100Z"
