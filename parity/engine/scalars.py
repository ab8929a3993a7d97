"""Numbers that are one in float32 and two in float64: a reference keeps 0.01 as a C float, and a port writes 0.01.

InPlaceABN keeps its slope and its epsilon so, and so does Paddle its BatchNorm's epsilon. A float64 comparison sees the
difference, which no network in float32 has: a port may have either.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from parity.engine.passes import Findings

SCALARS = {"negative_slope": "slope", "eps": "epsilon"}
"""Attribute of a torch module -> its name for people."""

GREATEST = 1e-8
"""Of the RMS, in float64: what a rounded scalar makes stays below."""


def may_be_rounding(found: Findings) -> bool:
    """Whether something failed by as little as a rounded scalar makes."""
    return any(layer.dtype == "float64" and layer.comparison.relative <= GREATEST for layer in found.failing)


def write_out(
    model: Any, found: Findings, trial: Callable[[], Findings], stack: ExitStack
) -> tuple[dict[str, str], Findings]:
    """Let the scalars of torch's `model` be the decimals that they round, if less fails then in a `trial`.

    `found` is what a trial finds before. Returns what was written out, attribute -> a note for people, and what is
    found then. `stack` will restore the scalars.
    """
    if not may_be_rounding(found):
        return {}, found
    notes = {}
    for name, title in SCALARS.items():
        rounded = set_decimals(model, name)
        if not rounded:
            continue
        stack.callback(_set, name, rounded)
        then = trial()
        if len(then.failures) >= len(found.failures):
            _set(name, rounded)
            continue
        found = then
        pairs = sorted({f"{as_decimal(value)!r} for {value!r}" for value in rounded.values()})
        notes[name] = f"{title} {', '.join(pairs)}, which is the same in float32"
    return notes, found


def set_decimals(model: Any, name: str) -> dict[Any, float]:
    """Let the scalar `name` of each torch module be the decimal that it rounds; the changed modules' own values."""
    rounded = {
        module: value
        for module in model.modules()
        if isinstance(value := getattr(module, name, None), float) and as_decimal(value) != value
    }
    _set(name, {module: as_decimal(value) for module, value in rounded.items()})
    return rounded


def as_decimal(value: float) -> float:
    """The shortest decimal that `value` is in float32; `value` itself if it is no float32."""
    return float(str(np.float32(value))) if float(np.float32(value)) == value else value


def _set(name: str, values: dict[Any, float]) -> None:
    for module, value in values.items():
        setattr(module, name, value)
