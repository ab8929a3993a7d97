"""The weights both networks are given, and whether the target's are the source's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter import Reading, detect, execute, read_checkpoint
from converter.convert import checked_plan
from converter.errors import InputError
from converter.files import Checkpoint, Tensors, file_digest, read_fitting
from converter.manifest import Manifest, manifest_path, read_manifest
from converter.names import count
from converter.origin import (
    Origin,
    canonical_tensors,
    describe_network,
    has_canonical_names,
    scaled_as,
    trace,
)
from converter.plan import Plan
from families import get_family
from families.architecture import AUXILIARY
from twins.standin import make_state_dict


@dataclass(frozen=True, kw_only=True)
class WeightPair:
    """Canonical name -> array for each twin, and how they compare.

    `torch` is the source after its stated operations, rounded to the target's dtypes; `paddle` the target.
    `source` are the checkpoint's own tensors. `different` names the tensors whose bits differ; `rounding` is the
    greatest relative change that rounding to the target's dtype made to a folded tensor. `notes` are sentences that
    the user should see.
    """

    plan: Plan
    torch: Tensors
    paddle: Tensors
    different: tuple[str, ...]
    rounding: float
    recurrence: int | None = None
    notes: tuple[str, ...] = ()
    source: Tensors = field(default_factory=dict, repr=False)

    def source_scales(self) -> Tensors:
        """Canonical name -> the checkpoint's own scale, with its signs, of those that are folded."""
        steps = [(step, name) for step, name in self.plan.transfers if step.operation == "fold"]
        return {name: self.source[step.source] for step, name in steps if step.source in self.source}

    @property
    def size(self) -> dict[str, Any]:
        """What a twin for these weights is built with, but for its recurrence."""
        return {
            "family": self.plan.family.name,
            "num_classes": self.plan.num_classes,
            "depth": self.plan.depth,
            "auxiliary": self.plan.auxiliary or not self.plan.family.architecture.heads,
        }

    def summary(self) -> dict[str, Any]:
        """For the report."""
        return {
            "family": self.plan.family.name,
            "depth": self.plan.depth,
            "num_classes": self.plan.num_classes,
            "tensors": len(self.torch),
            "different": list(self.different),
            "fold_rounding": self.rounding,
            "auxiliary": self.plan.auxiliary,
            "notes": list(self.notes),
        }


def standin_pair(*, seed: int, family: str = "official", depth: int = 101) -> WeightPair:
    """Stand-in weights of `family`, through the converter."""
    state = make_state_dict(family, seed=seed, depth=depth)
    plan = checked_plan(detect(state, path="stand-in weights", family=family), "stand-in weights")
    converted = {name: array for _, name, array in execute(plan, state)}
    return _pair(plan, state, converted, recurrence=None)


def read_source(
    source: Path, *, family: str | None = None, abn_semantics: str | None = None, reading: Reading | None = None
) -> WeightPair:
    """A checkpoint's weights, read as `reading` says, for a port. Raises InputError if it is not complete."""
    origin = _trace(read_checkpoint(source, reading), family=family, abn_semantics=abn_semantics)
    plan, tensors = checked_plan(origin.detection, str(source)), origin.checkpoint.tensors
    converted = {name: array for _, name, array in execute(plan, tensors)}
    return _pair(plan, tensors, converted, recurrence=_recurrence(origin), notes=_notes(origin))


def read_pair(source: Path, target: Path, *, family: str | None = None, reading: Reading | None = None) -> WeightPair:
    """The weights of a checkpoint and of its conversion, in either direction.

    The target's manifest, if there is one, tells its recurrence, how its scales were read and whether its auxiliary
    head was left out; its weights are taken as they are. `reading` is of those of the two that have what it names.
    Raises InputError if either is not a complete checkpoint of one
    architecture.
    """
    path = manifest_path(target)
    manifest = read_manifest(path) if path.exists() else None
    reading = reading or Reading()
    if manifest is not None and not manifest.auxiliary:
        reading = replace(reading, without_auxiliary=True)
    if source == target:
        checkpoint = written = read_checkpoint(source, reading)
    else:
        checkpoint, written = read_fitting((source, target), reading)
    scales = _scales(manifest)
    origin = _trace(checkpoint, family=family, abn_semantics=scales)
    plan = checked_plan(origin.detection, str(source))
    try:
        converted = _canonical(written, scales)
    except InputError as error:
        reason = str(error).removeprefix(f"{target}: ")
        raise InputError(f"{target}: not a conversion of {source}: {reason}") from None
    expected = {name: step.shape for step, name in plan.transfers}
    found = {name: array.shape for name, array in converted.items()}
    if found != expected:
        odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        differ = count(len(odd), "tensor", " differs", " differ")
        raise InputError(
            f"{target}: not a conversion of {source}: {differ} in name or shape, first {odd[0]} "
            f"({found.get(odd[0])}, expected {expected.get(odd[0])}); convert it with ccnet-convert"
        )
    recurrence = _recurrence(origin) if manifest is None else manifest.recurrence
    notes = _notes(origin, chosen=scales is not None)
    return _pair(plan, origin.checkpoint.tensors, converted, recurrence=recurrence, notes=notes)


def _trace(checkpoint: Checkpoint, **options: str | None) -> Origin:
    return trace(checkpoint, digest=lambda: file_digest(checkpoint.path), **options)


def _scales(manifest: Manifest | None) -> str | None:
    """How the manifest's conversion read scales, where that was not the family's own way."""
    if manifest is None:
        return None
    try:
        family = get_family(str(manifest.family))
        scales = scaled_as(family, manifest).scales
    except (LookupError, TypeError, ValueError):
        return None  # whoever restores from it says that it is damaged
    return None if scales == family.scales else scales


def _notes(origin: Origin, *, chosen: bool = False) -> tuple[str, ...]:
    checkpoint = origin.checkpoint
    skipped = [f"left out: {', '.join(checkpoint.skipped)}"] if checkpoint.skipped else []
    return (*skipped, *describe_network(origin, chosen=chosen))


def _recurrence(origin: Origin) -> int | None:
    return None if origin.manifest is None else origin.manifest.recurrence


def _canonical(written: Checkpoint, scales: str | None) -> Tensors:
    """A file's tensors by the twins' names, which a family's own keys are first brought to."""
    if has_canonical_names(written):
        tensors = canonical_tensors(written).items()
        left_out = (AUXILIARY,) if written.reading.without_auxiliary else ()
        return {name: array for name, array in tensors if not name.startswith(left_out)}
    origin = _trace(written, abn_semantics=scales)
    steps = execute(checked_plan(origin.detection, str(written.path)), origin.checkpoint.tensors, dtype="keep")
    return {name: array for _, name, array in steps}


def _pair(
    plan: Plan, state: Tensors, converted: Tensors, *, recurrence: int | None, notes: tuple[str, ...] = ()
) -> WeightPair:
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
        notes=notes,
        source=state,
    )
