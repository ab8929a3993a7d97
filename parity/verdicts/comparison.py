"""Comparing one pair of tensors: structure first, then values, element by element, on the maximum.

Tensors are torch's, on the CPU or a GPU, or arrays of a recording. They are read once, a cache-sized piece at a time
and by NumPy: on pieces of that size, torch spends more time in waking threads than they save.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twins.tolerances import CONDITIONING, FLOAT32_NOISE_RATIO, FLOAT32_RELATIVE, FLOAT64_RELATIVE

Array = np.ndarray[Any, Any]
Values = Any
"""A torch tensor, or an array."""

PIECE = 1 << 18
"""Elements per piece: small enough that the passes after the first find it in the cache."""
REFERENCES = "cannot be judged: the reference's "
"""Before what is the matter with the expected tensor; what is with the actual one follows its name at once."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far `actual` is from `expected`; true if within the limit.

    `relative` is `max_abs` over the RMS of the truth (of `expected` where there is none). `noise_floor` is
    the expected's own greatest distance from the float64 truth, at least one unit in the last place of its
    greatest value, and `noise_ratio` the actual's distance over it; both are None without a truth.
    `required_tolerance` is the smallest limit that would have passed. `beyond` is how many of the `elements` are beyond
    the limit, counted where the comparison failed. `reason` says what failed, or is empty.
    """

    passed: bool
    max_abs: float
    mean_abs: float
    relative: float
    noise_floor: float | None
    noise_ratio: float | None
    required_tolerance: float
    worst_index: tuple[int, ...]
    elements: int = 0
    beyond: int = 0
    reason: str = ""

    def __bool__(self) -> bool:
        return self.passed


def compare(
    actual: Values, expected: Values, truth: Values | None = None, *, limit: float | None = None, constant: bool = False
) -> Comparison:
    """Compare by the rule of the expected tensor's dtype.

    float64: is it the same function? Greatest difference over the RMS, at most FLOAT64_RELATIVE.
    float32 with a float64 `truth`: is its rounding ordinary? Distance from the truth over the expected's
    own, at most FLOAT32_NOISE_RATIO. float32 without: FLOAT32_RELATIVE. `limit` replaces the default. Constant
    tensors prove nothing, unless `constant` ones may be, as a mask is.
    """
    fault = find_mismatch(actual, expected)
    if fault:
        return failed(fault)
    if "float" not in name_dtype(expected):
        return _compare_exactly(actual, expected)
    arrays = _flat(actual), _flat(expected), None if truth is None else _flat(truth)
    figures = _measure(*_without_equal_infinities(*arrays), constant=constant)
    if figures.fault:
        return failed(figures.fault)
    relative = _divide(figures.max_abs, figures.rms)
    floor = ratio = None
    if truth is not None:
        floor = max(figures.expected_distance, float(np.finfo(arrays[1].dtype).eps) * figures.largest)
        ratio = _divide(figures.actual_distance, floor)
    judged = relative if ratio is None else ratio
    limit = _limit(expected, truth) if limit is None else limit
    allowed = limit * (figures.rms if ratio is None else floor or 0.0)
    exact = arrays[1] if arrays[2] is None else arrays[2]
    beyond = 0 if judged <= limit else _count_beyond(arrays[0], exact, allowed)
    return Comparison(
        passed=judged <= limit,
        max_abs=figures.max_abs,
        mean_abs=figures.mean_abs,
        relative=relative,
        noise_floor=floor,
        noise_ratio=ratio,
        required_tolerance=judged,
        worst_index=_unravel(figures.worst, tuple(expected.shape)),
        elements=figures.count,
        beyond=beyond,
        reason="" if judged <= limit else _excess(relative, ratio, limit, beyond, figures.count),
    )


def rejudge(comparison: Comparison, floor: float | None) -> Comparison:
    """A comparison, which may have failed, by how far the reference itself carries a rounding error to this tensor.

    `floor` is that distance over the RMS; CONDITIONING times it is rounding. None leaves the comparison as it is.
    """
    if comparison or floor is None:
        return comparison
    distance = comparison.relative
    if comparison.noise_ratio is not None and comparison.noise_floor is not None:  # from the truth
        distance *= comparison.noise_ratio * comparison.noise_floor / comparison.max_abs
    if distance > CONDITIONING * floor:
        return comparison
    return replace(comparison, passed=True, beyond=0, reason="")


def find_mismatch(actual: Values, expected: Values) -> str:
    """A difference of structure, which is always a failure; empty if there is none. Nothing is broadcast."""
    if actual.shape != expected.shape:
        return f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if name_dtype(actual) != name_dtype(expected):
        return f"dtype {name_dtype(actual)}, expected {name_dtype(expected)}"
    if 0 in expected.shape:
        return "is empty, which proves nothing"
    return ""


def failed(reason: str) -> Comparison:
    """A failure without figures."""
    return Comparison(
        passed=False,
        max_abs=math.inf,
        mean_abs=math.inf,
        relative=math.inf,
        noise_floor=None,
        noise_ratio=None,
        required_tolerance=math.inf,
        worst_index=(),
        reason=reason,
    )


def _compare_exactly(actual: Values, expected: Values) -> Comparison:
    """Integers and booleans: equal or not."""
    different = _flat(actual) != _flat(expected)
    beyond, count = int(different.sum()), different.size
    return Comparison(
        passed=not beyond,
        max_abs=float(beyond > 0),
        mean_abs=beyond / count,
        relative=float(beyond > 0),
        noise_floor=None,
        noise_ratio=None,
        required_tolerance=float(beyond > 0),
        worst_index=_unravel(int(different.argmax()), tuple(expected.shape)),
        elements=count,
        beyond=beyond,
        reason=f"{beyond:,} of {count:,} whole numbers differ" if beyond else "",
    )


def _without_equal_infinities(actual: Array, expected: Array, truth: Array | None) -> tuple[Array, Array, Array | None]:
    """Zeros where both are the same infinity, as a mask of attention is: there they agree."""
    equal = np.isinf(expected)
    if not equal.any():
        return actual, expected, truth
    equal &= actual == expected
    return tuple(None if one is None else np.where(equal, 0, one) for one in (actual, expected, truth))  # type: ignore[return-value]


@dataclass
class _Figures:
    count: int
    max_abs: float = 0.0
    worst: int = 0
    total_abs: float = 0.0
    squares: float = 0.0
    actual_distance: float = 0.0
    expected_distance: float = 0.0
    largest: float = 0.0
    """Greatest magnitude of the expected tensor, where there is a truth."""
    fault: str = ""

    @property
    def rms(self) -> float:
        return math.sqrt(self.squares / self.count)

    @property
    def mean_abs(self) -> float:
        return self.total_abs / self.count


@np.errstate(invalid="ignore", over="ignore")
def _measure(actual: Array, expected: Array, truth: Array | None, *, constant: bool) -> _Figures:
    figures = _Figures(expected.size)
    space = np.empty(min(PIECE, figures.count), expected.dtype)
    worst = 0
    for start in range(0, figures.count, PIECE):
        ours, theirs = actual[start : start + PIECE], expected[start : start + PIECE]
        difference = np.subtract(ours, theirs, out=space[: len(ours)])
        largest = float(np.abs(difference, out=difference).max())
        if not math.isfinite(largest):  # as is every difference from a NaN or an infinity
            figures.fault = _not_finite(actual, expected)
            if figures.fault:
                return figures
        if largest > figures.max_abs:
            figures.max_abs, worst = largest, start
        figures.total_abs += float(difference.sum())
        exact = theirs if truth is None else truth[start : start + PIECE]
        figures.squares += float(np.einsum("i,i->", exact, exact))  # np.dot's threads would take the passes' cores
        if truth is not None:
            figures.largest = max(figures.largest, float(theirs.max()), -float(theirs.min()))
            figures.actual_distance = max(figures.actual_distance, _distance(ours, exact))
            figures.expected_distance = max(figures.expected_distance, _distance(theirs, exact))
    figures.fault = "" if constant else _constant(actual, expected)
    difference = np.abs(actual[worst : worst + PIECE] - expected[worst : worst + PIECE])
    figures.worst = worst + int(difference.argmax())
    return figures


def _distance(values: Array, exact: Array) -> float:
    difference = values - exact
    return float(np.abs(difference, out=difference).max())


def _not_finite(actual: Array, expected: Array) -> str:
    for whose, values in (("", actual), (REFERENCES, expected)):
        if not np.isfinite(values).all():
            return f"{whose}has NaN or infinite values"
    return ""


def _constant(actual: Array, expected: Array) -> str:
    for whose, values in (("", actual), (REFERENCES, expected)):
        sample = values[:: 1 + len(values) // 1024]  # of all channels: mostly it tells
        if len(values) > 1 and all((part == values[0]).all() for part in (sample, values)):
            return f"{whose}is constant ({values[0]:g}), which proves nothing"
    return ""


def _limit(expected: Values, truth: Values | None) -> float:
    if name_dtype(expected) == "float64":
        return FLOAT64_RELATIVE
    return FLOAT32_RELATIVE if truth is None else FLOAT32_NOISE_RATIO


def _excess(relative: float, ratio: float | None, limit: float, beyond: int, elements: int) -> str:
    share = f" ({beyond:,} of {elements:,} elements beyond it)"
    if ratio is None:
        return f"differs by {relative:.1e} of its RMS, limit {limit:.0e}{share}"
    return f"is {ratio:.1f} times as far from the float64 truth as torch, limit {limit:g}{share}"


def _count_beyond(actual: Array, expected: Array, allowed: float) -> int:
    pieces = range(0, actual.size, PIECE)
    return sum(int((~(np.abs(actual[i : i + PIECE] - expected[i : i + PIECE]) <= allowed)).sum()) for i in pieces)


def _divide(value: float, by: float) -> float:
    if by == 0:
        return 0.0 if value == 0 else math.inf
    return value / by


def to_array(tensor: Values) -> Array:
    """A tensor's values, or the array itself."""
    return tensor if isinstance(tensor, np.ndarray) else np.asarray(tensor.detach().cpu().numpy())


def _flat(tensor: Values) -> Array:
    if isinstance(tensor, np.ndarray):
        return tensor.reshape(-1)
    return np.asarray(tensor.detach().cpu().reshape(-1).numpy())


def _unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index = []
    for size in reversed(shape):
        index.append(flat % size)
        flat //= size
    return tuple(reversed(index))


def name_dtype(tensor: Values) -> str:
    """`float32` and the like, of a tensor or an array."""
    return str(tensor.dtype).removeprefix("torch.")
