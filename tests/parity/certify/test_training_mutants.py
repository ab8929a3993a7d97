"""Every training mistake is caught at its gate, and no gate before it is to blame."""

from __future__ import annotations

from functools import cache

import pytest

from parity.certify.catalogue import GATES
from parity.mutants.catalogue import MUTANTS as CATALOGUE
from parity.mutants.mutant import Mutant
from parity.mutants.run import Bench

MUTANTS = CATALOGUE["training"]


@cache
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("entry", MUTANTS, ids=lambda entry: entry.name)
def test_caught_at_its_gate(entry: Mutant) -> None:
    outcome = bench().certify(entry, gates=[entry.gate])
    assert outcome.caught, outcome.sentence
    assert outcome.pinned
    assert outcome


def test_the_catalogue_is_large_and_reaches_most_gates() -> None:
    assert len(MUTANTS) >= 15
    assert {entry.gate for entry in MUTANTS} <= GATES.keys()
    assert len({entry.gate for entry in MUTANTS}) >= 9
    assert all(entry.description.endswith(".") for entry in MUTANTS)


def test_the_reason_names_the_mistake() -> None:
    (biased,) = (entry for entry in MUTANTS if entry.name == "biased-running-variance")
    assert "biased" in bench().certify(biased, gates=["backward"]).sentence
    (detached,) = (entry for entry in MUTANTS if entry.name == "residual-detached")
    assert "backbone.stage3.1" in bench().certify(detached, gates=["backward"]).sentence


def test_an_earlier_gate_takes_the_blame() -> None:
    """A mistake that is declared for a later gate than the one that sees it is not pinned."""
    (entry,) = (entry for entry in MUTANTS if entry.name == "pixels-as-rgb")
    outcome = bench().certify(
        Mutant(**{**vars(entry), "gate": "loss", "guilty": ("loss",)}), gates=["validation data", "loss"]
    )
    assert outcome.caught
    assert not outcome.pinned
    assert not outcome


def test_no_mistake_no_alarm() -> None:
    idle = Mutant(name="idle", description="Nothing.", apply=lambda side: None, guilty=("loss",), gate="loss")
    outcome = bench().certify(idle, gates=["validation data", "loss", "optimiser", "learning rate", "regularisation"])
    assert not outcome.caught
    assert not outcome
