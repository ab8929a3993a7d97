"""Architectures, and in what two of them differ, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from families.architecture import Architecture

SAME_FLOAT = 1e-6
"""Relative: a C float and the double it stands for are one number to every checkpoint."""


@dataclass(frozen=True, kw_only=True)
class _Trait:
    """What a field of `Architecture` is called, and its values where they do not speak for themselves."""

    label: str
    words: Mapping[Any, str] | None = None
    of_heads: bool = False

    def describe(self, value: Any) -> str:
        if self.words is not None:
            return self.words[value]
        return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


_BIAS = {True: "with bias", False: "without bias"}
_SHORTCUT = {True: "average-pooled", False: "strided"}
_DILATION = {True: "half in the first block", False: "the same in every block"}
TRAITS: dict[str, _Trait] = {
    "stem_widths": _Trait(label="stem"),
    "pool_ceil_mode": _Trait(label="max-pooling", words={True: "ceil", False: "floor"}),
    "average_pool_shortcut": _Trait(label="shortcut", words=_SHORTCUT),
    "contracted_dilation": _Trait(label="dilation of stages 3 and 4", words=_DILATION),
    "norm_epsilon": _Trait(label="epsilon of the norms"),
    "head_activation": _Trait(label="activation of reduce and refine", of_heads=True),
    "fuse_activation": _Trait(label="activation of fuse", of_heads=True),
    "fuse_conv_bias": _Trait(label="convolution of fuse", words=_BIAS, of_heads=True),
    "auxiliary_activation": _Trait(label="auxiliary activation", of_heads=True),
    "auxiliary_conv_bias": _Trait(label="auxiliary convolution", words=_BIAS, of_heads=True),
    "auxiliary_width": _Trait(label="auxiliary width", of_heads=True),
    "leaky_slope": _Trait(label="slope of leaky_relu", of_heads=True),
    "dropout": _Trait(label="dropout", words={"channel": "of channels", "element": "of elements"}, of_heads=True),
    "dropout_rate": _Trait(label="dropout rate", of_heads=True),
    "heads": _Trait(label="heads", words={True: "two", False: "none"}),
    "auxiliary": _Trait(label="auxiliary head", words={True: "kept", False: "left out"}, of_heads=True),
}


def describe(architecture: Architecture) -> dict[str, str]:
    """What each trait is called -> what it is, without those of heads that are not there."""
    return {
        trait.label: trait.describe(getattr(architecture, name))
        for name, trait in TRAITS.items()
        if architecture.heads or not trait.of_heads
    }


def list_differences(ours: Architecture, theirs: Architecture) -> list[str]:
    """`stem 64-64-128, not 32-32-64` for each field in which `ours` is not as `theirs`.

    What belongs to the heads is left out where one of them has none.
    """
    both_have_heads = ours.heads and theirs.heads
    differences = []
    for name in (field.name for field in fields(Architecture)):
        trait, mine, other = TRAITS[name], getattr(ours, name), getattr(theirs, name)
        if not _same(mine, other) and (both_have_heads or not trait.of_heads):
            differences.append(f"{trait.label} {trait.describe(mine)}, not {trait.describe(other)}")
    return differences


def _same(mine: Any, other: Any) -> bool:
    if isinstance(mine, float):
        return math.isclose(mine, other, rel_tol=SAME_FLOAT)
    return bool(mine == other)
