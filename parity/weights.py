"""The weights both networks are given, and whether the target's are the source's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter import detect, execute, from_paddle, read_checkpoint
from converter.convert import checked_plan
from converter.files import Tensors
from converter.manifest import manifest_path, read_manifest
from converter.plan import Plan
from parity.errors import ParityInputError
from parity.standin import make_state_dict


@dataclass(frozen=True, kw_only=True)
class WeightPair:
    """Canonical name -> array for each twin, and how they compare.

    `torch` is the source after its stated operations, rounded to the target's dtypes; `paddle` the target.
    `different` names the tensors whose bits differ; `rounding` is the greatest relative change that rounding
    to the target's dtype made to a folded tensor.
    """

    plan: Plan
    torch: Tensors
    paddle: Tensors
    different: tuple[str, ...]
    rounding: float
    recurrence: int | None = None

    def summary(self) -> dict[str, Any]:
        """For the report."""
        return {
            "family": self.plan.family.name,
            "depth": self.plan.depth,
            "num_classes": self.plan.num_classes,
            "tensors": len(self.torch),
            "different": list(self.different),
            "fold_rounding": self.rounding,
        }


def standin_pair(*, seed: int, family: str = "official", depth: int = 101) -> WeightPair:
    """Stand-in weights of `family`, through the converter."""
    state = make_state_dict(family, seed=seed, depth=depth)
    plan = checked_plan(detect(state, path="stand-in weights", family=family), "stand-in weights")
    converted = {name: array for _, name, array in execute(plan, state)}
    return _pair(plan, state, converted, recurrence=None)


def read_source(source: Path, *, family: str | None = None) -> WeightPair:
    """The weights of an original checkpoint, converted, for a port. Raises InputError if it is not complete."""
    checkpoint = read_checkpoint(source)
    detection = detect(checkpoint.tensors, path=str(source), family=family, collisions=checkpoint.collisions)
    plan = checked_plan(detection, str(source))
    converted = {name: array for _, name, array in execute(plan, checkpoint.tensors)}
    return _pair(plan, checkpoint.tensors, converted, recurrence=None)


def read_pair(source: Path, target: Path, *, family: str | None = None) -> WeightPair:
    """The weights of an original checkpoint and of its conversion.

    Raises InputError or ParityInputError if either is not a complete checkpoint of one architecture.
    """
    checkpoint = read_checkpoint(source)
    detection = detect(checkpoint.tensors, path=str(source), family=family, collisions=checkpoint.collisions)
    plan = checked_plan(detection, str(source))
    converted = {from_paddle(name): array for name, array in read_checkpoint(target).tensors.items()}
    expected = {name: step.shape for step, name in plan.transfers}
    found = {name: array.shape for name, array in converted.items()}
    if found != expected:
        odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise ParityInputError(
            f"{target}: not a conversion of {source}: {len(odd)} tensors differ in name or shape, first {odd[0]} "
            f"({found.get(odd[0])}, expected {expected.get(odd[0])}); convert it with ccnet-convert"
        )
    return _pair(plan, checkpoint.tensors, converted, recurrence=_recorded_recurrence(target))


def _pair(plan: Plan, state: Tensors, converted: Tensors, *, recurrence: int | None) -> WeightPair:
    torch: Tensors = {}
    different, rounding = [], 0.0
    for step, name, exact in execute(plan, state, dtype="float64"):
        actual = converted[name]
        expected = exact.astype(actual.dtype)
        torch[name] = expected
        if expected.tobytes() != actual.tobytes():
            different.append(name)
        if step.operation == "fold":
            rounding = max(rounding, float(np.max(np.abs(expected - exact) / exact)))
    return WeightPair(
        plan=plan,
        torch=torch,
        paddle={name: converted[name] for name in torch},
        different=tuple(different),
        rounding=rounding,
        recurrence=recurrence,
    )


def _recorded_recurrence(target: Path) -> int | None:
    path = manifest_path(target)
    return read_manifest(path).recurrence if path.exists() else None
