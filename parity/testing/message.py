"""What a failed assertion says, in the manner of `torch.testing`: how much, where, and then who is to blame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from parity.reports.html.probes import limit_of
from parity.reports.html.render import headline
from parity.verdicts.report import Layer, Report, name_both

MOST_GUILTY = 5
"""Layers that are named; the page has all."""


def describe_failure(report: Report, page: Path | None = None) -> str:
    """A headline, the mismatch in numbers, the guilty layers and what else is wrong, and where the page is."""
    layer = _find_layer(report)
    parts = [
        [f"Networks are not the same! {headline(report)}"],
        [] if layer is None else list(_describe_mismatch(layer)),
        [
            line
            for guilty in report.guilty[:MOST_GUILTY]
            for line in (f"Guilty: {guilty.sentence}", *(f"  {reason}" for reason in guilty.reasons))
        ],
        [f"Guilty: {len(report.guilty) - MOST_GUILTY} more"] if len(report.guilty) > MOST_GUILTY else [],
        [f"Problem: {problem}" for problem in report.problems],
        list(_hint(report)),
        [] if page is None else [f"Page: {page}"],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _find_layer(report: Report) -> Layer | None:
    """The probe that shows what the first guilty layer does wrong, or else the first that failed."""
    for guilty in report.guilty:
        for layer in report.failures:
            if (layer.mode, layer.path, layer.call, layer.site) == ("isolated", guilty.path, guilty.call, guilty.site):
                return layer
    return report.first_divergence


def _describe_mismatch(layer: Layer) -> Iterator[str]:
    comparison = layer.comparison
    if not comparison.elements or not math.isfinite(comparison.required_tolerance):
        yield f"Mismatch: {comparison.reason}"
    else:
        share = 100 * comparison.beyond / comparison.elements
        index = tuple(comparison.worst_index)
        yield f"Mismatched elements: {comparison.beyond} / {comparison.elements} ({share:.1f}%)"
        limit = limit_of(layer.dtype, has_truth=comparison.noise_ratio is not None)
        if comparison.noise_ratio is None or comparison.noise_floor is None:
            rms = comparison.max_abs / comparison.relative if comparison.relative else 0.0
            worst = f"{comparison.max_abs:.3g} at index {index}"
            yield f"Greatest absolute difference: {worst} (up to {limit * rms:.3g} allowed)"
            yield f"Greatest relative difference: {comparison.relative:.3g} of the RMS (up to {limit:g} allowed)"
        else:
            yield f"Greatest absolute difference: {comparison.max_abs:.3g} at index {index}"
            yield (
                f"Greatest distance from the float64 truth: {comparison.noise_ratio:.3g} times the reference's own "
                f"(up to {limit:g} allowed)"
            )
    site = layer.site if layer.site == "output" else f"what it hands to the {layer.site}"
    yield f"Where: {site} of {name_both(layer.port, layer.path)}, {layer.mode}, {layer.dtype}, input {layer.input}"


def _hint(report: Report) -> Iterator[str]:
    """What to do where every weight differs, as those of a network that was never loaded do."""
    weights = report.weights
    different = weights.get("different", ())
    if different and len(different) == weights.get("tensors"):
        yield (
            "Hint: none of the weights is the reference's. Load them, or, if the port is fresh, call assert_same with "
            "copy_weights=True"
        )
