"""What parameters begin with, as data: constants and the distributions that frameworks and porters draw from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from parity.certify.causes.engine import Array

Fans = tuple[float, float]
"""Of a layer: how many values go into one output, and how many outputs one value goes into."""

LAWS: Mapping[str, Callable[[Fans], float]] = {
    "": lambda fans: 1.0,
    "sqrt(fan in)": lambda fans: math.sqrt(fans[0]),
    "sqrt(fan out)": lambda fans: math.sqrt(fans[1]),
    "sqrt(mean fan)": lambda fans: math.sqrt(sum(fans) / 2),
}
"""What a deviation is inversely proportional to."""
CUT = 0.879626
"""Deviation of a normal distribution of deviation one that is cut at ± 2."""


def _cut(rng: np.random.Generator, count: int) -> Array:
    values = rng.standard_normal(count)
    while (far := np.abs(values) > 2).any():
        values[far] = rng.standard_normal(int(far.sum()))
    return values / CUT


SHAPES: Mapping[str, Callable[[np.random.Generator, int], Array]] = {
    "normal": lambda rng, count: rng.standard_normal(count),
    "uniform": lambda rng, count: rng.uniform(-math.sqrt(3), math.sqrt(3), count),
    "truncated normal": _cut,
}
"""Draws of deviation one around zero."""
DIGITS = 3
"""Of a number that is read off values drawn at random."""
CHANCE = 6.0
"""Standard errors by which a mean or a deviation may be off by chance."""


@dataclass(frozen=True)
class Moments:
    """Of some values: how many, their mean and deviation, and the number that all of them are, if they are one."""

    size: int
    mean: float
    deviation: float
    constant: float | None

    @classmethod
    def of(cls, array: Array) -> Moments:
        """Those of an array."""
        first = float(array.flat[0])
        return cls(array.size, float(array.mean()), float(array.std()), first if (array == first).all() else None)


@dataclass(frozen=True)
class Fill:
    """A distribution around `mean`, its deviation `gain` over the `law` of the fans; without `shape`, a constant."""

    text: str
    shape: str = ""
    gain: float = 0.0
    law: str = ""
    mean: float = 0.0

    def fits(self, values: Moments, fans: Fans) -> bool:
        """Whether mean and deviation of values are these within chance."""
        if not self.shape or values.constant is not None:
            return not self.shape and values.constant == self.mean
        deviation, root = self.gain / LAWS[self.law](fans), math.sqrt(values.size)
        mean = abs(values.mean - self.mean) / deviation * root
        return max(mean, abs(math.log(values.deviation / deviation)) * math.sqrt(2) * root) <= CHANCE

    def draw(self, rng: np.random.Generator, count: int, fans: Fans) -> Array:
        """`count` values."""
        if not self.shape:
            return np.full(count, self.mean)
        return self.mean + self.gain / LAWS[self.law](fans) * SHAPES[self.shape](rng, count)


KNOWN = (
    Fill("Kaiming normal by fan in (Paddle's default)", "normal", math.sqrt(2), "sqrt(fan in)"),
    Fill("Kaiming normal by fan out", "normal", math.sqrt(2), "sqrt(fan out)"),
    Fill("Kaiming uniform by fan in", "uniform", math.sqrt(2), "sqrt(fan in)"),
    Fill("Kaiming uniform by fan out", "uniform", math.sqrt(2), "sqrt(fan out)"),
    Fill("uniform within 1 / sqrt(fan in) (torch's default)", "uniform", 1 / math.sqrt(3), "sqrt(fan in)"),
    Fill("LeCun normal", "normal", 1.0, "sqrt(fan in)"),
    Fill("Xavier normal", "normal", 1.0, "sqrt(mean fan)"),
    Fill("Xavier uniform", "uniform", 1.0, "sqrt(mean fan)"),
    *(Fill(f"normal of deviation {deviation:g}", "normal", deviation) for deviation in (0.001, 0.01, 0.02)),
    Fill("truncated normal of deviation 0.02", "truncated normal", 0.02 * CUT),
)


def list_constants(arrays: Sequence[Moments]) -> Iterator[Fill]:
    """The constants that some of `arrays` are."""
    values = dict.fromkeys(array.constant for array in arrays if array.constant is not None)
    yield from (Fill(f"{value:g}", mean=value) for value in values)


def read_fills(arrays: Sequence[Moments], fans: Sequence[Fans]) -> Iterator[Fill]:
    """The distributions of each law and shape whose mean and gain are those of `arrays` together."""
    sizes, means, deviations = (
        np.array([getattr(one, name) for one in arrays], np.float64) for name in ("size", "mean", "deviation")
    )
    if not deviations.all():
        return
    mean = float(np.average(means, weights=sizes))
    error = float(np.average(deviations, weights=sizes)) / math.sqrt(sizes.sum())
    centre = _rounded(mean) if abs(mean) > CHANCE * error else 0.0
    around = f" around {centre:g}" if centre else ""
    for (law, divisor), shape in product(LAWS.items(), SHAPES):
        gains = np.log(deviations * [divisor(own) for own in fans])
        gain = _rounded(math.exp(float(np.average(gains, weights=sizes))))
        text = f"{shape} of deviation {gain:g}{f' / {law}' if law else ''}{around}"
        yield Fill(text, shape, gain, law, centre)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
