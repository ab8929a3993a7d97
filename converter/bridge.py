"""Canonical (torch) leaf names and Paddle's, both ways."""

from __future__ import annotations

PADDLE_LEAVES = {"running_mean": "_mean", "running_var": "_variance"}
CANONICAL_LEAVES = {paddle: canonical for canonical, paddle in PADDLE_LEAVES.items()}


def to_paddle(name: str) -> str:
    """`head.reduce.norm.running_mean` -> `head.reduce.norm._mean`."""
    return _replace_leaf(name, PADDLE_LEAVES)


def from_paddle(name: str) -> str:
    """`head.reduce.norm._mean` -> `head.reduce.norm.running_mean`."""
    return _replace_leaf(name, CANONICAL_LEAVES)


def _replace_leaf(name: str, leaves: dict[str, str]) -> str:
    module, dot, leaf = name.rpartition(".")
    return module + dot + leaves.get(leaf, leaf)
