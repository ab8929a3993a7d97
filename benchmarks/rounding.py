"""How far healthy twins are from the limits of rounding: the distributions that the limits are derived from.

Run as `python -m benchmarks.rounding [SEEDS]`. Each seed has its own stand-in weights, images, size, batch, depth and
family, and a third each a sharper attention, which carries rounding further. Of each is taken: the greatest noise ratio
of all layers in float32, isolated and free; and of the outputs in float64, free, the greatest difference over the RMS,
and over the distance to which the reference carries its own rounding.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from rich import box
from rich.table import Table
from torch import nn

from converter.console import wide_console
from parity.engine.conditioning import measure_conditioning
from parity.engine.harness import Array, compare_models
from parity.networks.arguments import Arguments
from parity.networks.inputs import make_images
from parity.verdicts.report import Report
from twins.build import build_paddle, build_torch
from twins.tolerances import CONDITIONING, FLOAT32_NOISE_RATIO, FLOAT64_RELATIVE
from twins.weights import standin_pair

SEEDS = 24
SIZES = ((97, 65), (64, 112), (65, 65), (96, 96), (49, 161), (81, 128))
FAMILIES = ("official", "pure_pytorch", "mmseg")
QUERY = "head.attention.query.weight"
SHARPNESS = (1, 4, 16)
"""Factors on the energies of attention."""
LIMITS = {
    "isolated": FLOAT32_NOISE_RATIO,
    "free": FLOAT32_NOISE_RATIO,
    "free, float64": FLOAT64_RELATIVE,
    "over its own": CONDITIONING,
}
"""In float64, one of the two limits suffices."""
FULL_DEPTH_EVERY = 6
"""Of the seeds; the others have depth 50."""


def measure(seed: int) -> dict[str, float]:
    """The greatest noise ratio of all layers, isolated and free. Raises RuntimeError at a false alarm."""
    weights = standin_pair(
        seed=seed, family=FAMILIES[seed % len(FAMILIES)], depth=50 if seed % FULL_DEPTH_EVERY else 101
    )
    for side in (weights.torch, weights.paddle):
        side[QUERY] = side[QUERY] * np.float32(SHARPNESS[seed // len(FAMILIES) % len(SHARPNESS)])
    ours, theirs = build_torch(weights, recurrence=2, device="cpu"), build_paddle(weights, recurrence=2)
    images = make_images(SIZES[seed % len(SIZES)], seed=seed, batch=1 + seed % 2)
    report = compare_models(ours, theirs, images)
    if not report:
        raise RuntimeError(f"seed {seed}: {report.summary}")
    ratios: dict[str, float] = {}
    for layer in report.layers:
        if layer.comparison.noise_ratio is not None:
            ratios[layer.mode] = max(ratios.get(layer.mode, 0.0), layer.comparison.noise_ratio)
    return ratios | measure_float64(ours, images, report)


def measure_float64(reference: nn.Module, images: Array, report: Report) -> dict[str, float]:
    """Of the outputs, free-running in float64: the difference over the RMS, and over the reference's own."""
    exact = [layer for layer in report.layers if layer.dtype == "float64"]
    errors = {layer.path: layer.comparison.relative for layer in exact if layer.mode == "isolated"}
    arguments = Arguments((torch.from_numpy(images.astype(np.float32)).double(),))
    floors = measure_conditioning(reference.double().eval(), arguments, {""}, errors)
    outputs = [layer for layer in exact if layer.mode == "free" and not layer.path]
    over = [layer.comparison.relative / floors["", layer.call, layer.output] for layer in outputs]
    return {"free, float64": max(layer.comparison.relative for layer in outputs), "over its own": max(over)}


def main(seeds: int = SEEDS) -> None:
    """Print the table."""
    found = []
    for seed in range(seeds):
        found.append(measure(seed))
        print(seed, found[-1], file=sys.stderr, flush=True)
    table = Table(f"{seeds} seeds", "median", "90 %", "greatest", "limit", box=box.SIMPLE)
    for name, limit in LIMITS.items():
        values = [ratios[name] for ratios in found]
        figures = (np.median(values), np.quantile(values, 0.9), max(values))
        table.add_row(name, *(f"{figure:.2g}" for figure in figures), f"{limit:g}")
    wide_console().print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
