"""Hypotheses of why a gate fails, tried until the reference's side of the gate repeats the port's numbers.

    explain([Asked("few labels", actual, expected, 1e-12)], [hypotheses, solved])  # a Cause or None

A hypothesis is what the reference gives under one change. It is proved if it repeats the port's numbers in every case
of the gate, to the gate's own limit, and leaves a hundredth of the difference at most. Nothing is guessed: where none
does, there is no cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.verdicts.report import Cause

Array = np.ndarray[Any, Any]
Numbers = Mapping[str, Array]
"""What a gate measures of one side in one case, by name."""

ROUNDING = 1e-15
"""What a proved hypothesis leaves at least, in double precision."""
EXACTER = 100.0
"""Times as near: a hypothesis that repeats the port's numbers so much better than another is the right one."""


@dataclass(frozen=True)
class Asked:
    """One case of a gate: the port's numbers, the reference's, and how far they may be apart, of the greatest."""

    key: Any
    actual: Numbers
    expected: Numbers
    limit: float


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A mistake: `text` says what the port does, beside the reference, `fix` what to write instead.

    `repeat` gives the reference's numbers under the mistake, of the case of that key.
    """

    name: str
    text: str
    fix: str
    repeat: Callable[[Any], Numbers]


def explain(asked: Sequence[Asked], levels: Iterable[Iterable[Hypothesis]]) -> Cause | None:
    """The cause of the difference: what the first of `levels` proves that proves anything.

    Several that repeat the numbers equally well are all named.
    """
    before = max((distance(one.actual, one.expected) for one in asked), default=0.0)
    for level in levels:
        proved = [(one, left) for one in level if (left := _left(one, asked, before)) is not None]
        if proved:
            return _name(proved, before)
    return None


def distance(actual: Numbers, made: Numbers) -> float:
    """The greatest difference of numbers of equal names and shapes, over the greatest of the port's; else infinite."""
    if actual.keys() != made.keys():
        return np.inf
    return max((_apart(array, np.asarray(made[name])) for name, array in actual.items()), default=0.0)


def _apart(actual: Array, made: Array) -> float:
    """NaN is NaN's equal, infinity its own."""
    if actual.shape != made.shape:
        return np.inf
    different = ~((actual == made) | (np.isnan(actual) & np.isnan(made)))
    if not different.any():
        return 0.0
    apart, scale = np.abs(actual[different] - made[different]).max(), np.abs(actual).max()
    return float(apart / scale) if np.isfinite(apart) and scale else np.inf


def _left(hypothesis: Hypothesis, asked: Sequence[Asked], before: float) -> float | None:
    """What the hypothesis leaves of the difference; None where it does not repeat the port's numbers."""
    left = 0.0
    for one in asked:
        try:
            left = max(left, distance(one.actual, hypothesis.repeat(one.key)))
        except Exception:  # noqa: BLE001 - what the reference says of a change that it was not made for
            return None
        if not left <= min(one.limit, before / EXACTER):
            return None
    return left


def _name(proved: Sequence[tuple[Hypothesis, float]], before: float) -> Cause:
    best = max(min(left for _, left in proved), ROUNDING)
    proved = [(one, left) for one, left in proved if left <= EXACTER * best]
    names, texts, fixes = (
        list(dict.fromkeys(getattr(one, field) for one, _ in proved)) for field in ("name", "text", "fix")
    )
    unsure = ": these are one in all cases of the gate" if len(texts) > 1 else ""
    return Cause(
        name=" or ".join(names),
        text=f"{', or '.join(texts)}{unsure}",
        fix=", or ".join(fixes),
        residual=max(left for _, left in proved),
        proved=True,
        before=before,
    )
