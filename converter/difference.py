"""Two checkpoints, tensor by tensor under canonical names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.detect import detect
from converter.errors import InputError
from converter.execute import execute
from converter.files import Checkpoint, Reading, read_fitting
from converter.origin import canonical_tensors, from_port, has_canonical_names, with_torch_leaves
from families.architecture import AUXILIARY

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class TensorDifference:
    """One tensor that differs; each pair is (left, right).

    `max_abs` is the greatest difference of two elements, `index` where it is and `elements` how many
    differ in value; None where shapes differ. A NaN on one side makes `max_abs` NaN.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dtypes: tuple[str, str]
    max_abs: float | None
    index: tuple[int, ...] | None
    elements: int | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two checkpoints compare; true if every tensor is in both and equal bit for bit."""

    left: str
    right: str
    families: tuple[str | None, str | None]
    equal: tuple[str, ...]
    different: tuple[TensorDifference, ...]
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not (self.different or self.only_left or self.only_right)

    def to_json(self) -> dict[str, Any]:
        """The contract of `ccnet-convert --diff --json`; a difference that is not finite is null."""
        content = {"same": bool(self), **asdict(self)}
        for entry in content["different"]:
            if entry["max_abs"] is not None and not np.isfinite(entry["max_abs"]):
                entry["max_abs"] = None
        return content


def compare_files(left: Path, right: Path, *, family: str | None = None, reading: Reading | None = None) -> Difference:
    """Compare two checkpoint files of any format and family.

    Each is mapped to canonical names, InPlaceABN's scales folded, in its own dtypes. Counters and layers
    that no CCNet has are left out. `reading` is of those of the two that have what it names.
    Raises InputError if one cannot be read or mapped.
    """
    checkpoints = [from_port(checkpoint) for checkpoint in read_fitting((left, right), reading or Reading())]
    (left_family, ours), (right_family, theirs) = (_map(checkpoint, family) for checkpoint in checkpoints)
    different = {name: _compare(name, ours[name], theirs[name]) for name in ours if name in theirs}
    return Difference(
        left=str(left),
        right=str(right),
        notes=tuple(f"{found.path}: {note}" for found in checkpoints for note in _describe(found)),
        families=(left_family, right_family),
        equal=tuple(name for name, found in different.items() if found is None),
        different=tuple(found for found in different.values() if found is not None),
        only_left=tuple(name for name in ours if name not in theirs),
        only_right=tuple(name for name in theirs if name not in ours),
    )


def _describe(checkpoint: Checkpoint) -> list[str]:
    """What was taken off and left out, and what else is to be said."""
    off = [f"taken off: {', '.join(checkpoint.wrappers)}"] if checkpoint.wrappers else []
    skipped = [f"skipped: {', '.join(checkpoint.skipped)}"] if checkpoint.skipped else []
    return [*off, *skipped, *checkpoint.notes]


def _map(checkpoint: Checkpoint, family: str | None) -> tuple[str | None, dict[str, Array]]:
    path = checkpoint.path
    if has_canonical_names(checkpoint):
        left_out = (AUXILIARY,) if checkpoint.reading.without_auxiliary else ()
        tensors = canonical_tensors(checkpoint).items()
        kept = {name: array for name, array in tensors if not name.startswith(left_out)}
        return None, {name: array for name, array in kept.items() if not name.endswith("num_batches_tracked")}
    checkpoint = with_torch_leaves(checkpoint)
    plan = detect(
        checkpoint.tensors,
        path=str(path),
        family=family,
        collisions=checkpoint.collisions,
        without_auxiliary=checkpoint.reading.without_auxiliary,
    ).plan
    if plan.mismatched:
        raise InputError(f"{path}: not a {plan.family.name} checkpoint: {plan.explain()}")
    mapped = {name: array for _, name, array in execute(plan, checkpoint.tensors, dtype="keep")}
    return plan.family.name, {**mapped, **{key: checkpoint.tensors[key] for key in plan.unexpected}}


def _compare(name: str, left: Array, right: Array) -> TensorDifference | None:
    """None if the two are equal bit for bit."""
    max_abs, index, elements = None, None, None
    if left.shape == right.shape:
        if left.dtype == right.dtype and left.tobytes() == right.tobytes():
            return None
        max_abs, index, elements = _measure(left.astype(np.float64), right.astype(np.float64))
    return TensorDifference(
        name=name,
        shapes=(left.shape, right.shape),
        dtypes=(str(left.dtype), str(right.dtype)),
        max_abs=max_abs,
        index=index,
        elements=elements,
    )


def _measure(left: Array, right: Array) -> tuple[float, tuple[int, ...], int]:
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return 0.0, (), 0
    with np.errstate(invalid="ignore"):
        distance = np.where(same, 0.0, np.abs(left - right))
    index = tuple(map(int, np.unravel_index(int(np.argmax(distance)), distance.shape)))  # the first NaN, if any
    return float(distance[index]), index, int((~same).sum())
