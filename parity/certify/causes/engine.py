"""Hypotheses of why a gate fails, tried until the reference's side of the gate repeats the port's numbers.

    explain([Asked("few labels", actual, expected, 1e-12)], [hypotheses, solved]).cause  # a Cause or None

A hypothesis is what the reference gives under one change. It is proved if it repeats the port's numbers in every case
of the gate, to the gate's own limit, and leaves a hundredth of the difference at most. Nothing is guessed: where none
does, there is no cause, and what can be measured of the difference is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.certify.causes.facts import measure_facts
from parity.verdicts.found import EXACTER, Found, keep_nearest, name_cause

Array = np.ndarray[Any, Any]
Numbers = Mapping[str, Array]
"""What a gate measures of one side in one case, by name."""


@dataclass(frozen=True)
class Asked:
    """One case of a gate: the port's numbers, the reference's, and how far they may be apart, of the greatest.

    `name` is what people call it, where the key does not say it.
    """

    key: Any
    actual: Numbers
    expected: Numbers
    limit: float
    name: str = ""

    @property
    def said(self) -> str:
        """What it is called."""
        return self.name or str(self.key)


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A mistake: `text` says what the port does, beside the reference, `fix` what to write instead.

    `repeat` gives the reference's numbers under the mistake, of the case of that key.
    """

    name: str
    text: str
    fix: str
    repeat: Callable[[Any], Numbers]


def explain(asked: Sequence[Asked], levels: Iterable[Iterable[Hypothesis]]) -> Found:
    """The cause of the difference: what the first of `levels` proves that proves anything.

    Several that repeat the numbers equally well are all named. Where no case differs, there is none.
    """
    apart = [distance(one.actual, one.expected) for one in asked]
    if all(own <= one.limit for own, one in zip(apart, asked, strict=True)):
        return Found()
    before, tried = max(apart), 0
    for level in levels:
        proved = []
        for one in level:
            tried += 1
            left = _left(one, asked, before)
            proved += [] if left is None else [(one, left)]
        if proved:
            return Found(name_cause(keep_nearest(proved), before, "in all cases of the gate"), tried)
    return Found(None, tried, measure_facts([(one.said, one.actual, one.expected, one.limit) for one in asked]))


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
