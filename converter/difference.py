"""Two checkpoints, tensor by tensor under canonical names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.detect import detect
from converter.errors import InputError
from converter.execute import execute
from converter.files import read_checkpoint
from converter.origin import canonical_tensors, has_canonical_names

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

    def __bool__(self) -> bool:
        return not (self.different or self.only_left or self.only_right)

    def to_json(self) -> dict[str, Any]:
        """The contract of `ccnet-convert --diff --json`; a difference that is not finite is null."""
        content = {"same": bool(self), **asdict(self)}
        for entry in content["different"]:
            if entry["max_abs"] is not None and not np.isfinite(entry["max_abs"]):
                entry["max_abs"] = None
        return content


def compare_files(left: Path, right: Path, *, family: str | None = None) -> Difference:
    """Compare two checkpoint files of any format and family.

    Each is mapped to canonical names, InPlaceABN's scales folded, in its own dtypes. Counters and layers
    that no CCNet has are left out. Raises InputError if one cannot be read or mapped.
    """
    (left_family, ours), (right_family, theirs) = (_read(path, family) for path in (left, right))
    different = {name: _compare(name, ours[name], theirs[name]) for name in ours if name in theirs}
    return Difference(
        left=str(left),
        right=str(right),
        families=(left_family, right_family),
        equal=tuple(name for name, found in different.items() if found is None),
        different=tuple(found for found in different.values() if found is not None),
        only_left=tuple(name for name in ours if name not in theirs),
        only_right=tuple(name for name in theirs if name not in ours),
    )


def _read(path: Path, family: str | None) -> tuple[str | None, dict[str, Array]]:
    checkpoint = read_checkpoint(path)
    if has_canonical_names(checkpoint):
        tensors = canonical_tensors(checkpoint)
        return None, {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    plan = detect(checkpoint.tensors, path=str(path), family=family, collisions=checkpoint.collisions).plan
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
