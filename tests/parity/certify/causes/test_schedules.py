"""Schedules of porters, each with its cause, its numbers read off the curve."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.parity.certify.cases import make_subject, outcome_of

STEPS = 60_000


def steeper(step: int) -> float:
    return 1e-2 * max(0.0, (STEPS - step) / STEPS) ** 1.3


def by_500(step: int) -> float:
    return steeper_of(0.9, step - step % 500)


def with_a_floor(step: int) -> float:
    return 3e-5 + (1e-2 - 3e-5) * max(0.0, 1 - step / STEPS) ** 0.9


def short_and_high(step: int) -> float:
    return 2e-2 * max(0.0, 1 - step / 50_000) ** 0.9


def steeper_of(power: float, step: int) -> float:
    return float(1e-2 * (1 - min(step, STEPS) / STEPS) ** power)


def longer(step: int) -> float:
    return 1e-2 * (1 - step / 90_000) ** 0.9


def warmed_up(step: int) -> float:
    rest = STEPS - 2000
    return 1e-2 * step / 2000 if step < 2000 else 1e-2 * max(0.0, 1 - (step - 2000) / rest) ** 0.9


def half_a_wave(step: int) -> float:
    return 1e-2 * math.cos(math.pi / 2 * step / STEPS) ** 2


def exponential(step: int) -> float:
    """Nothing that is known."""
    return 1e-2 * math.exp(-step / 10_000)


@pytest.mark.parametrize(
    ("function", "name", "words"),
    [
        ("steeper", "power", "power is 1.3, the reference's 0.9"),
        ("by_500", "by epoch", "every 500 steps"),
        ("with_a_floor", "end rate", "end rate is 3e-05, the reference's 0"),
        ("short_and_high", "base rate and length", "length is 50000"),
        ("longer", "length", "length is 90000, the reference's 60000"),
        ("warmed_up", "warm-up", "rises from 0 for 2000 steps"),
        ("half_a_wave", "cosine", "falls by a cosine"),
        ("exponential", None, ""),
    ],
)
def test_the_cause_of_a_schedule(function: str, name: str | None, words: str, tmp_path: Path) -> None:
    parts = {"schedule": f"{__name__}:{function}"}
    outcome = outcome_of("learning rate", make_subject(tmp_path, port="tests.parity.renamed_port:build", parts=parts))
    assert outcome.verdict == "failed"
    assert (outcome.cause and outcome.cause.name) == name
    assert outcome.cause is None or words in outcome.cause.text
