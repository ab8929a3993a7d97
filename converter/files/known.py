"""Which names of tensors belong to a CCNet, whoever wrote it: by them a prefix is told from a module."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from converter.bridge import from_paddle
from families import FAMILIES
from families.rules import LAYERS, join, skeleton


def is_key(name: str) -> bool:
    """Whether a family or the twin in torch has a tensor of this very name, numbers aside."""
    return skeleton(name) in _skeletons(tuple(FAMILIES))


def count_known(names: Iterable[str]) -> int:
    """How many of `names` a family or the twins have, numbers aside."""
    return sum(is_key(name) or is_key(from_paddle(name)) for name in names)


@cache
def _skeletons(families: tuple[str, ...]) -> frozenset[str]:
    names = set()
    for family in families:
        for rule in FAMILIES[family].rules:
            for leaf in LAYERS[rule.layer]:
                names.add(skeleton(join(rule.source, leaf.source)))
                if leaf.target is not None:
                    names.add(skeleton(join(rule.target, leaf.target)))
    return frozenset(names)
