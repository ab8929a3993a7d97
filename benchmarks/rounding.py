"""How far healthy twins are from the float32 limit: the distribution that the limit is derived from.

Run as `python -m benchmarks.rounding [SEEDS]`. Each seed has its own stand-in weights, images, size, batch, depth and
family; the greatest noise ratio of all layers is taken of each.
"""

from __future__ import annotations

import sys

import numpy as np
from rich import box
from rich.table import Table

from converter.console import wide_console
from parity.engine.harness import compare_models
from parity.networks.inputs import make_images
from twins.build import build_paddle, build_torch
from twins.tolerances import FLOAT32_NOISE_RATIO
from twins.weights import standin_pair

SEEDS = 24
SIZES = ((97, 65), (64, 112), (65, 65), (96, 96), (49, 161), (81, 128))
FAMILIES = ("official", "pure_pytorch", "mmseg")
FULL_DEPTH_EVERY = 6
"""Of the seeds; the others have depth 50."""


def measure(seed: int) -> dict[str, float]:
    """The greatest noise ratio of all layers, isolated and free. Raises RuntimeError at a false alarm."""
    weights = standin_pair(
        seed=seed, family=FAMILIES[seed % len(FAMILIES)], depth=50 if seed % FULL_DEPTH_EVERY else 101
    )
    ours, theirs = build_torch(weights, recurrence=2, device="cpu"), build_paddle(weights, recurrence=2)
    images = make_images(SIZES[seed % len(SIZES)], seed=seed, batch=1 + seed % 2)
    report = compare_models(ours, theirs, images)
    if not report:
        raise RuntimeError(f"seed {seed}: {report.summary}")
    ratios: dict[str, float] = {}
    for layer in report.layers:
        if layer.comparison.noise_ratio is not None:
            ratios[layer.mode] = max(ratios.get(layer.mode, 0.0), layer.comparison.noise_ratio)
    return ratios


def main(seeds: int = SEEDS) -> None:
    """Print the table."""
    found = []
    for seed in range(seeds):
        found.append(measure(seed))
        print(seed, found[-1], file=sys.stderr, flush=True)
    table = Table(f"{seeds} seeds", "median", "90 %", "greatest", "limit", box=box.SIMPLE)
    for mode in ("isolated", "free"):
        values = [ratios[mode] for ratios in found]
        figures = (np.median(values), np.quantile(values, 0.9), max(values))
        table.add_row(mode, *(f"{figure:.2f}" for figure in figures), f"{FLOAT32_NOISE_RATIO:g}")
    wide_console().print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
