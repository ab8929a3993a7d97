"""What counts as proved: all cases, to the limit, and no guess."""

from __future__ import annotations

import numpy as np
import pytest

from parity.certify.causes.engine import Asked, Hypothesis, Numbers, distance, explain
from parity.certify.gate import Check, Evidence, run_gate
from parity.verdicts.found import Found
from tests.parity.certify.cases import gate_of

VALUES = {"small": np.array([1.0, 2.0]), "large": np.array([3.0, 40.0])}
ASKED = [Asked(key, {"values": 2 * array}, {"values": array}, 1e-12) for key, array in VALUES.items()]


def times(factor: float, *, only: str = "", name: str = "scaled") -> Hypothesis:
    def repeat(key: str) -> Numbers:
        return {"values": VALUES[key] * (factor if only in ("", key) else 1.0)}

    return Hypothesis(name=name, text=f"{name} by {factor:g}", fix="do not", repeat=repeat)


def failing(key: str) -> Numbers:
    raise ZeroDivisionError(key)


def test_the_one_that_repeats_every_case_is_named() -> None:
    found = explain(ASKED, [[times(3), times(2, only="small"), times(2)]]).cause
    assert found is not None
    assert (found.name, found.text, found.residual, found.proved) == ("scaled", "scaled by 2", 0.0, True)
    assert found.before == 0.5


def test_none_is_guessed() -> None:
    raising = Hypothesis(name="raises", text="", fix="", repeat=failing)
    found = explain(ASKED, [[times(3), times(2 + 1e-9), times(2, only="large"), raising]])
    assert found.cause is None
    assert found.tried == 4
    assert found.facts == ("it is 2 times the reference's",)
    assert explain(ASKED, []).cause is None


def test_two_that_cannot_be_told_apart_are_both_named() -> None:
    found = explain(ASKED, [[times(2), times(2, name="doubled")]]).cause
    assert found is not None
    assert found.name == "scaled or doubled"
    assert "these are one in all cases" in found.text


def test_a_loose_limit_proves_nothing_that_leaves_most_of_the_difference() -> None:
    loose = [Asked(one.key, one.actual, one.expected, 0.4) for one in ASKED]
    assert explain(loose, [[times(1.5)]]).cause is None


def test_where_no_case_differs_nothing_is_tried() -> None:
    same = [Asked(one.key, one.expected, one.expected, 0.0) for one in ASKED]
    assert explain(same, [[times(1)]]).tried == 0


@pytest.mark.parametrize(
    ("made", "apart"),
    [([1.0, np.nan], 0.0), ([2.0, np.nan], 1.0), ([1.0, 1.0], np.inf), ([1.0], np.inf)],
)
def test_distances(made: list[float], apart: float) -> None:
    own = {"values": np.array([1.0, np.nan])}
    found = distance(own, {"values": np.array(made)})
    assert found == apart or (apart == 1.0 and not found < 1.0)


def test_a_passing_gate_looks_for_none_and_a_search_that_raises_hides_nothing() -> None:
    asked = []

    def search() -> Found:
        asked.append(1)
        raise ZeroDivisionError

    def gate(measured: float) -> Evidence:
        return Evidence(checks=[Check(name="a", measured=measured, limit=1.0, reason="why")], explain=search)

    assert run_gate(gate_of(lambda subject: gate(0.5)), None).cause is None
    assert not asked
    failed = run_gate(gate_of(lambda subject: gate(2.0)), None)
    assert failed.verdict == "failed"
    assert failed.cause is None
    assert asked
