"""The values that a family's parameters begin with, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Distribution = Literal["constant", "uniform", "normal"]


@dataclass(frozen=True)
class Fill:
    """A distribution around zero with this standard deviation, or a constant."""

    distribution: Distribution
    value: float

    @property
    def bound(self) -> float:
        """Half the width of the uniform distribution of this deviation."""
        return self.value * math.sqrt(3)


ZERO, ONE = Fill("constant", 0.0), Fill("constant", 1.0)


def initial_fill(family: str, name: str, shape: tuple[int, ...], fan_in: int) -> Fill:
    """What `family` fills the parameter called `name` (canonical) with; `fan_in` is of its layer.

    official and pure_pytorch: torch's defaults. mmseg: `ResNetV1c` and `ConvModule` (Kaiming, fan out; the last
    scale of each block zero), `BaseDecodeHead` (classifiers) and torch's defaults in the attention.
    paddleseg: Paddle's defaults.
    """
    if name.endswith("gamma"):
        return ZERO
    if ".norm." in name:
        last = family == "mmseg" and name.endswith("expand.norm.weight")
        return ONE if name.endswith("weight") and not last else ZERO
    if family == "paddleseg":
        return ZERO if name.endswith("bias") else Fill("normal", math.sqrt(2 / fan_in))
    if family == "mmseg" and ".attention." not in name:
        if name.endswith("bias"):
            return ZERO
        return Fill("normal", 0.01 if name.endswith("classifier.weight") else _kaiming_fan_out(shape))
    return Fill("uniform", 1 / math.sqrt(3 * fan_in))


def _kaiming_fan_out(shape: tuple[int, ...]) -> float:
    return math.sqrt(2 / (shape[0] * math.prod(shape[2:])))
