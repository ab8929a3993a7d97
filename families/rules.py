"""The tensors of each kind of layer, and how a family's key table names those of a whole network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from families.architecture import Family, LayerKind, Rule


@dataclass(frozen=True)
class Leaf:
    """A tensor of a layer: its name there, its canonical name (None: dropped), operation and reason."""

    source: str
    target: str | None
    operation: str
    reason: str


_COPY = "the same tensor in both"
_STATISTICS = (
    Leaf("bias", "bias", "copy", _COPY),
    Leaf("running_mean", "running_mean", "copy", _COPY),
    Leaf("running_var", "running_var", "copy", _COPY),
    Leaf("num_batches_tracked", None, "drop", "a counter that only a momentum of None reads"),
)

LAYERS: dict[LayerKind, tuple[Leaf, ...]] = {
    "conv": (
        Leaf("weight", "weight", "copy", _COPY),
        Leaf("bias", "bias", "copy", _COPY),
    ),
    "norm": (Leaf("weight", "weight", "copy", _COPY), *_STATISTICS),
    "abn": (
        Leaf("weight", "weight", "fold", "InPlaceABN scales by |weight| + eps, BatchNorm by weight"),
        *_STATISTICS,
    ),
    "paddle_norm": (
        Leaf("weight", "weight", "copy", _COPY),
        Leaf("bias", "bias", "copy", _COPY),
        Leaf("_mean", "running_mean", "copy", _COPY),
        Leaf("_variance", "running_var", "copy", _COPY),
    ),
    "scale": (Leaf("", "", "copy", _COPY),),
    "scalar_scale": (Leaf("", "", "expand", "0-d there, shape (1,) here"),),
}


@dataclass(frozen=True)
class Assignment:
    """One source key, the canonical tensor it becomes (None: dropped), and how and why."""

    source: str
    target: str | None
    operation: str
    reason: str


def assign(family: Family, canonical: Iterable[str]) -> list[Assignment]:
    """Every key that `family` has for the `canonical` tensors, in their order; dropped keys come with their layer.

    Raises ValueError if the family's table leaves a canonical tensor without a rule or gives it two.
    """
    assignments: list[Assignment] = []
    dropped: dict[str, Assignment] = {}
    rules = _by_skeleton(family)
    for name in canonical:
        found = []
        for rule, leaf in rules.get(skeleton(name), ()):
            if (numbers := match_template(join(rule.target, leaf.target), name)) is not None:
                source = rule.source.format(**numbers, index=int(numbers.get("stage", 1)) - 1)
                found.append(Assignment(join(source, leaf.source), name, leaf.operation, leaf.reason))
                for other in LAYERS[rule.layer]:
                    if other.target is None:
                        key = join(source, other.source)
                        dropped[key] = Assignment(key, None, other.operation, other.reason)
        if len(found) != 1:
            raise ValueError(f"family {family.name}: {len(found)} rules for {name}: {found}")
        assignments.append(found[0])
    return [*assignments, *dropped.values()]


def find_blocks(family: Family, keys: Iterable[str]) -> set[tuple[int, int]]:
    """(stage, block), stages counted from 1, of every residual block that `keys` of the family belong to."""
    rules: dict[str, list[Rule]] = {}
    for rule in family.rules:
        if "{block}" in rule.source:
            rules.setdefault(skeleton(rule.source), []).append(rule)
    modules = dict.fromkeys(key.rpartition(".")[0] for key in keys)
    matches = (match_template(rule.source, module) for module in modules for rule in rules.get(skeleton(module), ()))
    return {(_stage(numbers), int(numbers["block"])) for numbers in matches if numbers is not None}


def match_template(template: str, name: str) -> dict[str, str] | None:
    """The numbers that `{stage}`, `{index}` and `{block}` stand for if `name` is of the form `template`, else None."""
    match = _compile(template).fullmatch(name)
    return None if match is None else match.groupdict()


@cache
def _by_skeleton(family: Family) -> dict[str, list[tuple[Rule, Leaf]]]:
    rules: dict[str, list[tuple[Rule, Leaf]]] = {}
    for rule in family.rules:
        for leaf in LAYERS[rule.layer]:
            if leaf.target is not None:
                rules.setdefault(skeleton(join(rule.target, leaf.target)), []).append((rule, leaf))
    return rules


def skeleton(name: str) -> str:
    """`name` without its numbers, by which the few rules that may fit it are found."""
    return re.sub(r"\d+|\{\w+\}", "#", name)


def _stage(numbers: Mapping[str, str]) -> int:
    return int(numbers["stage"]) if "stage" in numbers else int(numbers["index"]) + 1


@cache
def _compile(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d{1,4})", re.escape(template)))


def join(module: str, leaf: str | None) -> str:
    return f"{module}.{leaf}" if leaf else module
