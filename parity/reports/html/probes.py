"""A report regrouped for reading: one entry per probe, with its measurements by mode, dtype and input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from parity.verdicts.report import Layer, Report
from twins.tolerances import FLOAT32_NOISE_RATIO, FLOAT32_RELATIVE, FLOAT64_RELATIVE

RUNS = tuple((mode, dtype) for dtype in ("float64", "float32") for mode in ("isolated", "free"))
"""(mode, dtype) in the order of the page: the sharper question first, the culprit before the victims."""

NETWORK = "(network)"
FAILING = {"isolated": "by itself", "free": "in the whole network"}
"""What a failure in each mode means."""
LABELLED, WIDE = 3, 8
"""Fewest probes of a stage with a label, and the share of the chart (percent) in which its label fits."""


@dataclass(frozen=True)
class Probe:
    """One probe of the network with all its measurements, over modes, dtypes and inputs."""

    path: str
    call: int
    output: int
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        """For people: the path, and which pass or output where it is not the first."""
        passing = f", pass {self.call + 1}" if self.call else ""
        return (self.path or NETWORK) + passing + (f", output {self.output + 1}" if self.output else "")

    @property
    def stage(self) -> str:
        return stage_of(self.path)

    def fails(self, mode: str) -> bool:
        """Whether any measurement in `mode` fails."""
        return any(layer.mode == mode and not layer.comparison for layer in self.layers)

    def worst(self, mode: str, dtype: str) -> Layer | None:
        """The measurement in `mode` and `dtype` that is furthest from passing, over all inputs."""
        run = [layer for layer in self.layers if (layer.mode, layer.dtype) == (mode, dtype)]
        return max(run, key=badness, default=None)


@dataclass(frozen=True)
class Stage:
    """Consecutive probes of one part of the network: `start` is the position of the first, of `total`.

    `row` is where a chart writes its name: names beside their stage take turns, so that they do not collide.
    """

    name: str
    start: int
    total: int
    probes: tuple[Probe, ...]
    row: int = 0

    @property
    def left(self) -> float:
        """Where it begins in a chart, in percent of the width; so is `share`."""
        return round(100 * self.start / self.total, 2)

    @property
    def share(self) -> float:
        return round(100 * len(self.probes) / self.total, 2)

    @property
    def label(self) -> str:
        """How its name is set in a chart: "over" it, or beside it where too narrow; a joint has none."""
        if len(self.probes) < LABELLED:
            return ""
        if self.share >= WIDE:
            return "over"
        return "after" if self.left < 50 else "before"

    @property
    def failures(self) -> list[str]:
        """How many of its layers fail, by mode; modes in which none does are left out."""
        counts = [(sum(probe.fails(mode) for probe in self.probes), mode) for mode in ("isolated", "free")]
        return [f"{count} failing {FAILING[mode]}" for count, mode in counts if count]


def collect_probes(report: Report) -> list[Probe]:
    """The report's probes in the order of execution."""
    # In isolated mode a module's failure may be noted at its children's inputs, before its own output.
    ordered = [layer for layer in report.layers if layer.site == "output"]
    groups: dict[tuple[str, int, int], list[Layer]] = {_key(layer): [] for layer in (*ordered, *report.layers)}
    for layer in report.layers:
        groups[_key(layer)].append(layer)
    return [Probe(*key, _shape(layers), tuple(layers)) for key, layers in groups.items()]


def split_stages(probes: Sequence[Probe]) -> list[Stage]:
    """The probes by stage, in order; a stage that is interrupted by another appears again."""
    stages: list[Stage] = []
    beside = 0
    for name, members in groupby(probes, key=lambda probe: probe.stage):
        found = tuple(members)
        start = stages[-1].start + len(stages[-1].probes) if stages else 0
        stage = Stage(name, start, len(probes), found)
        if stage.label in ("after", "before"):
            stage, beside = replace(stage, row=1 + beside % 2), beside + 1
        stages.append(stage)
    return stages


def stage_of(path: str) -> str:
    """The part of the network a module belongs to: a part of the backbone, a head, or the whole."""
    first, _, rest = path.partition(".")
    return (rest.partition(".")[0] if first == "backbone" else "") or first or NETWORK


def runs_of(report: Report) -> list[tuple[str, str]]:
    """The (mode, dtype) that the report has."""
    present = {(layer.mode, layer.dtype) for layer in report.layers}
    return [run for run in RUNS if run in present]


def limit_of(dtype: str, *, has_truth: bool) -> float:
    """The limit that a comparison in `dtype` is held to (`twins.tolerances`)."""
    if dtype == "float64":
        return FLOAT64_RELATIVE
    return FLOAT32_NOISE_RATIO if has_truth else FLOAT32_RELATIVE


def badness(layer: Layer) -> tuple[bool, float]:
    """Sorts measurements: failures last, then by the limit each would have needed."""
    return not layer.comparison, layer.comparison.required_tolerance


def figure(value: float | None) -> str:
    """A number as the page shows it: short, a bare 0 for exact equality, a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:.3g}" if 0.01 <= value < 1000 else f"{value:.1e}"


def _key(layer: Layer) -> tuple[str, int, int]:
    return layer.path, layer.call, layer.output


def _shape(layers: Sequence[Layer]) -> tuple[int, ...]:
    return next((layer.shape for layer in layers if layer.site == "output"), layers[0].shape)
