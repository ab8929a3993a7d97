"""Small subjects and their outcomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from parity.certify.catalogue import GATES
from parity.certify.gate import Check, Gate, Outcome, run_gate
from parity.certify.subject import Subject
from twins.weights import standin_pair


def make_subject(folder: Path, *, family: str = "official", seed: int = 0, depth: int = 18, **options: Any) -> Subject:
    """Stand-in weights of a family, small."""
    weights = standin_pair(seed=seed, family=family, depth=depth)
    defaults = {"recurrence": 2, "folder": folder, "seed": seed, "steps": 5}
    return Subject(weights=weights, **{**defaults, **options})


def outcome_of(name: str, subject: Subject) -> Outcome:
    """Run a gate of the catalogue."""
    return run_gate(GATES[name], subject)


def check_of(outcome: Outcome, name: str) -> Check:
    """The check called `name`."""
    (found,) = (check for check in outcome.checks if check.name == name)
    return found


def gate_of(run: Callable[[Subject], Any], name: str = "gate") -> Gate:
    return Gate(name=name, description="", run=run)
