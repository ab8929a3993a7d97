"""The weights both networks are given, and whether the target's are the source's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converter import detect, execute, read_checkpoint
from converter.convert import checked_plan
from converter.errors import InputError
from converter.files import Checkpoint, Tensors, file_digest
from converter.manifest import manifest_path, read_manifest
from converter.origin import Origin, canonical_tensors, has_canonical_names, trace
from converter.plan import Plan
from families import get_family
from twins.standin import make_state_dict


@dataclass(frozen=True, kw_only=True)
class WeightPair:
    """Canonical name -> array for each twin, and how they compare.

    `torch` is the source after its stated operations, rounded to the target's dtypes; `paddle` the target.
    `source` are the checkpoint's own tensors. `different` names the tensors whose bits differ; `rounding` is the
    greatest relative change that rounding to the target's dtype made to a folded tensor.
    """

    plan: Plan
    torch: Tensors
    paddle: Tensors
    different: tuple[str, ...]
    rounding: float
    recurrence: int | None = None
    source: Tensors = field(default_factory=dict, repr=False)

    def source_scales(self) -> Tensors:
        """Canonical name -> the checkpoint's own scale, with its signs, of those that are folded."""
        steps = [(step, name) for step, name in self.plan.transfers if step.operation == "fold"]
        return {name: self.source[step.source] for step, name in steps if step.source in self.source}

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
    """A checkpoint's weights, for a port. Raises InputError if it is not complete."""
    origin = _trace(source, family=family)
    plan, tensors = checked_plan(origin.detection, str(source)), origin.checkpoint.tensors
    converted = {name: array for _, name, array in execute(plan, tensors)}
    return _pair(plan, tensors, converted, recurrence=_recurrence(origin))


def read_pair(source: Path, target: Path, *, family: str | None = None) -> WeightPair:
    """The weights of a checkpoint and of its conversion, in either direction.

    The target's manifest, if there is one, tells its recurrence and how its scales were read; its weights
    are taken as they are. Raises InputError if either is not a complete checkpoint of one
    architecture.
    """
    path = manifest_path(target)
    manifest = read_manifest(path) if path.exists() else None
    folded = manifest is not None and manifest.folded and get_family(manifest.family).fold_optional
    origin = _trace(source, family=family, abn_semantics="fold" if folded else None)
    plan = checked_plan(origin.detection, str(source))
    written = read_checkpoint(target)
    try:
        converted = _canonical(written)
    except InputError as error:
        reason = str(error).removeprefix(f"{target}: ")
        raise InputError(f"{target}: not a conversion of {source}: {reason}") from None
    expected = {name: step.shape for step, name in plan.transfers}
    found = {name: array.shape for name, array in converted.items()}
    if found != expected:
        odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise InputError(
            f"{target}: not a conversion of {source}: {len(odd)} tensors differ in name or shape, first {odd[0]} "
            f"({found.get(odd[0])}, expected {expected.get(odd[0])}); convert it with ccnet-convert"
        )
    recurrence = _recurrence(origin) if manifest is None else manifest.recurrence
    return _pair(plan, origin.checkpoint.tensors, converted, recurrence=recurrence)


def _trace(path: Path, **reading: str | None) -> Origin:
    return trace(read_checkpoint(path), digest=lambda: file_digest(path), **reading)


def _recurrence(origin: Origin) -> int | None:
    return None if origin.manifest is None else origin.manifest.recurrence


def _canonical(written: Checkpoint) -> Tensors:
    """A file's tensors by the twins' names, which a family's own keys are first brought to."""
    if has_canonical_names(written):
        return canonical_tensors(written)
    origin = trace(written, digest=lambda: file_digest(written.path))
    steps = execute(checked_plan(origin.detection, str(written.path)), written.tensors, dtype="keep")
    return {name: array for _, name, array in steps}


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
        source=state,
    )
