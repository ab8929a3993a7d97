"""The tensors of each kind of layer, and how a family's key table names those of a whole network."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
    for name in canonical:
        found = [match for rule in family.rules for match in _matches(rule, name)]
        if len(found) != 1:
            raise ValueError(f"family {family.name}: {len(found)} rules for {name}: {found}")
        assignments.append(found[0])
    assignments += [
        Assignment(_join(rule.source.format(**fields), leaf.source), None, leaf.operation, leaf.reason)
        for rule, fields in _layers(family, canonical)
        for leaf in LAYERS[rule.layer]
        if leaf.target is None
    ]
    return assignments


def _matches(rule: Rule, name: str) -> list[Assignment]:
    matches = []
    for leaf in LAYERS[rule.layer]:
        if leaf.target is None or not name.endswith(leaf.target):
            continue
        if (match := match_template(_join(rule.target, leaf.target), name)) is not None:
            source = _join(rule.source.format(**match), leaf.source)
            matches.append(Assignment(source, name, leaf.operation, leaf.reason))
    return matches


def _layers(family: Family, canonical: Iterable[str]) -> list[tuple[Rule, dict[str, str]]]:
    modules = dict.fromkeys(name.rpartition(".")[0] for name in canonical)
    return [
        (rule, match)
        for module in modules
        for rule in family.rules
        if (match := match_template(rule.target, module)) is not None
    ]


def match_template(template: str, name: str) -> dict[str, str] | None:
    """The numbers that `{stage}` and `{block}` stand for if `name` is of the form `template`, else None."""
    match = _compile(template).fullmatch(name)
    return None if match is None else match.groupdict()


@cache
def _compile(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(template)))


def _join(module: str, leaf: str) -> str:
    return f"{module}.{leaf}" if leaf else module
