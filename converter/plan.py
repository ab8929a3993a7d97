"""Planning: every tensor of a checkpoint with its fate, before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.names import summarize
from converter.operations import OPERATIONS
from families import DEPTHS, Family, canonical_shapes, get_family
from families.rules import Assignment, assign, find_blocks

AUXILIARY_LEFT_OUT = "of the auxiliary head, which was left out"
Tensors = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One tensor's way: `target` is its canonical name, `shape` the shape there; target None is a drop."""

    source: str
    target: str | None
    operation: str
    reason: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of each tensor of a checkpoint, and everything that stands in the way.

    True only if every source key is used once and every target filled once with the right shape.
    """

    family: Family
    num_classes: int
    depth: int
    steps: tuple[Step, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = field(default=())
    ambiguous: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.problems()

    @property
    def auxiliary(self) -> bool:
        """Whether the network has an auxiliary head."""
        return self.family.architecture.heads and self.family.architecture.auxiliary

    def problems(self) -> dict[str, tuple[str, ...]]:
        """The lists that are not empty, by name."""
        lists = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "wrong shape or dtype": self.mismatched,
            "two keys for one target": self.ambiguous,
            "not finite": self.invalid,
        }
        return {name: entries for name, entries in lists.items() if entries}

    def explain(self) -> str:
        """All problems in one line, indices collapsed."""
        return "; ".join(f"{len(entries)} {name}: {summarize(entries)}" for name, entries in self.problems().items())

    def way_on(self) -> str:
        """What the user can do about the problems, as the end of a sentence; empty if that is not known."""
        layers = self.family.auxiliary_layers if self.auxiliary else ()
        entries = [entry for entries in self.problems().values() for entry in entries]
        if entries and all(entry.split(" ")[0].rpartition(".")[0] in layers for entry in entries):
            return "; only training needs the auxiliary head: --without-auxiliary leaves it out"
        if self.unexpected and list(self.problems()) == ["unexpected"]:
            return "; --ignore GLOB leaves keys out"
        return ""

    @property
    def transfers(self) -> list[tuple[Step, str]]:
        """The steps that end in a tensor, with its canonical name."""
        return [(step, step.target) for step in self.steps if step.target is not None]

    @property
    def drops(self) -> list[Step]:
        """The steps that end in nothing."""
        return [step for step in self.steps if step.target is None]


def make_plan(
    tensors: Tensors,
    family: str | Family,
    *,
    collisions: Collection[str] = (),
    check_values: bool = True,
    without_auxiliary: bool = False,
) -> Plan:
    """Plan the conversion of `tensors` (source key -> array) as a checkpoint of `family`.

    Depth and number of classes come from the tensors; with nothing of an auxiliary head among them, or if
    `without_auxiliary`, the plan is of the network without one. `collisions` are keys that stood twice in the
    file. NaN and infinities make the plan invalid, unless `check_values` is false.
    """
    chosen = get_family(family) if isinstance(family, str) else family
    if without_auxiliary or not _has_auxiliary(tensors, chosen):
        chosen = chosen.without_auxiliary()
    depth = infer_depth(tensors, chosen)
    assignments, shapes = expected_tensors(chosen, depth=depth, num_classes=1)
    num_classes = _infer_classes(tensors, assignments)
    assignments, shapes = expected_tensors(chosen, depth=depth, num_classes=num_classes)
    assignments += _drop(tensors, chosen.unused, "of a layer that the network does not have")
    assignments += _drop(tensors, chosen.left_out, AUXILIARY_LEFT_OUT)
    steps = [_step(item, shapes) for item in assignments if item.source in tensors]
    known = {item.source for item in assignments}
    return Plan(
        family=chosen,
        num_classes=num_classes,
        depth=depth,
        steps=tuple(steps),
        missing=tuple(item.source for item in assignments if item.target is not None and item.source not in tensors),
        unexpected=tuple(key for key in tensors if key not in known),
        mismatched=tuple(text for step in steps if (text := _mismatch(step, tensors[step.source]))),
        ambiguous=tuple(collisions),
        invalid=tuple(key for key, value in tensors.items() if check_values and not _finite(value)),
    )


def expected_tensors(
    family: Family, *, depth: int, num_classes: int
) -> tuple[list[Assignment], dict[str, tuple[int, ...]]]:
    """The keys a complete checkpoint of this size has, and the canonical shapes they must give."""
    shapes = canonical_shapes(family.architecture, num_classes=num_classes, depth=depth)
    return assign(family, shapes), shapes


def infer_depth(tensors: Tensors, family: Family) -> int:
    """The depth whose blocks, stage by stage, are most like those among the keys; ties go to the deeper."""
    blocks = [0, 0, 0, 0]
    for stage, block in find_blocks(family, tensors):
        if 1 <= stage <= 4:
            blocks[stage - 1] = max(blocks[stage - 1], block + 1)
    return min(
        reversed(DEPTHS),
        key=lambda depth: sum(abs(a - b) for a, b in zip(DEPTHS[depth].blocks, blocks, strict=True)),
    )


def _drop(tensors: Tensors, layers: Collection[str], reason: str) -> list[Assignment]:
    return [Assignment(key, None, "drop", reason) for key in tensors if key.rpartition(".")[0] in layers]


def _has_auxiliary(tensors: Tensors, family: Family) -> bool:
    layers = set(family.auxiliary_layers)
    return any(key.rpartition(".")[0] in layers for key in tensors)


def _infer_classes(tensors: Tensors, assignments: list[Assignment]) -> int:
    for target in ("head.classifier.weight", "auxiliary_head.classifier.weight"):
        source = next((item.source for item in assignments if item.target == target), None)
        if source is not None and source in tensors and tensors[source].ndim and tensors[source].shape[0]:
            return int(tensors[source].shape[0])
    return 19


def _step(item: Assignment, shapes: Mapping[str, tuple[int, ...]]) -> Step:
    shape = () if item.target is None else shapes[item.target]
    return Step(source=item.source, target=item.target, operation=item.operation, reason=item.reason, shape=shape)


def _mismatch(step: Step, array: np.ndarray[Any, Any]) -> str | None:
    if step.target is None:
        return None
    expected = OPERATIONS[step.operation].source_shape(step.shape)
    if array.shape != expected:
        return f"{step.source} is {array.shape}, {step.target} needs {expected}"
    if array.dtype.kind != "f":
        return f"{step.source} is {array.dtype}, {step.target} needs a floating dtype"
    return None


def _finite(array: np.ndarray[Any, Any]) -> bool:
    # Both extremes are NaN if any value is; testing each value would make an array of a quarter of the size.
    return array.dtype.kind != "f" or bool(np.isfinite((array.min(initial=0), array.max(initial=0))).all())
