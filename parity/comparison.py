"""Comparing one pair of tensors: structure first, then values, element by element, on the maximum.

Tensors are torch's, on the CPU or a GPU; they are read once, a cache-sized piece at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from parity.tolerances import FLOAT32_NOISE_RATIO, FLOAT32_RELATIVE, FLOAT64_RELATIVE

PIECE = 1 << 18
"""Elements per piece: small enough that the passes after the first find it in the cache."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far `actual` is from `expected`; true if within the limit.

    `relative` is `max_abs` over the RMS of the truth (of `expected` where there is none). `noise_floor` is
    the expected's own greatest distance from the float64 truth, at least one unit in the last place of its
    greatest value, and `noise_ratio` the actual's distance over it; both are None without a truth.
    `required_tolerance` is the smallest limit that would have passed.
    `reason` says what failed, or is empty.
    """

    passed: bool
    max_abs: float
    mean_abs: float
    relative: float
    noise_floor: float | None
    noise_ratio: float | None
    required_tolerance: float
    worst_index: tuple[int, ...]
    reason: str = ""

    def __bool__(self) -> bool:
        return self.passed


def compare(actual: Tensor, expected: Tensor, truth: Tensor | None = None, *, limit: float | None = None) -> Comparison:
    """Compare by the rule of the expected tensor's dtype.

    float64: is it the same function? Greatest difference over the RMS, at most FLOAT64_RELATIVE.
    float32 with a float64 `truth`: is its rounding ordinary? Distance from the truth over the expected's
    own, at most FLOAT32_NOISE_RATIO. float32 without: FLOAT32_RELATIVE. `limit` replaces the default.
    """
    fault = find_mismatch(actual, expected)
    if fault:
        return failed(fault)
    figures = _measure(actual, expected, truth)
    fault = figures.fault()
    if fault:
        return failed(fault)
    relative = _divide(figures.max_abs, figures.rms)
    floor = ratio = None
    if truth is not None:
        floor = max(figures.expected_distance, float(torch.finfo(expected.dtype).eps) * figures.largest)
        ratio = _divide(figures.actual_distance, floor)
    judged = relative if ratio is None else ratio
    limit = _limit(expected, truth) if limit is None else limit
    return Comparison(
        passed=judged <= limit,
        max_abs=figures.max_abs,
        mean_abs=figures.mean_abs,
        relative=relative,
        noise_floor=floor,
        noise_ratio=ratio,
        required_tolerance=judged,
        worst_index=_unravel(figures.worst, tuple(expected.shape)),
        reason="" if judged <= limit else _excess(relative, ratio, limit),
    )


def find_mismatch(actual: Tensor, expected: Tensor) -> str:
    """A difference of structure, which is always a failure; empty if there is none. Nothing is broadcast."""
    if actual.shape != expected.shape:
        return f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if actual.dtype != expected.dtype:
        return f"dtype {_name(actual)}, expected {_name(expected)}"
    if not expected.numel():
        return "empty output, which proves nothing"
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


@dataclass
class _Figures:
    count: int
    max_abs: float = 0.0
    worst: int = 0
    total_abs: float = 0.0
    squares: float = 0.0
    actual_distance: float = 0.0
    expected_distance: float = 0.0
    actual_range: tuple[float, float] = (math.inf, -math.inf)
    expected_range: tuple[float, float] = (math.inf, -math.inf)

    @property
    def rms(self) -> float:
        return math.sqrt(self.squares / self.count)

    @property
    def largest(self) -> float:
        """Greatest magnitude of the expected tensor."""
        return max(map(abs, self.expected_range))

    @property
    def mean_abs(self) -> float:
        return self.total_abs / self.count

    def fault(self) -> str:
        for name, (low, high) in (("Paddle's", self.actual_range), ("torch's", self.expected_range)):
            if not (math.isfinite(low) and math.isfinite(high)):
                return f"{name} output has NaN or infinite values"
            if low == high and self.count > 1:
                return f"{name} output is constant ({low:g}), which proves nothing"
        return ""


def _measure(actual: Tensor, expected: Tensor, truth: Tensor | None) -> _Figures:
    figures = _Figures(expected.numel())
    actual, expected = actual.reshape(-1), expected.reshape(-1)
    reference = expected if truth is None else truth.reshape(-1)
    for start in range(0, figures.count, PIECE):
        ours, theirs, exact = (flat[start : start + PIECE] for flat in (actual, expected, reference))
        figures.actual_range = _widen(figures.actual_range, ours)
        figures.expected_range = _widen(figures.expected_range, theirs)
        difference = (ours - theirs).abs_()
        largest, where = difference.max(0)
        if not float(largest) <= figures.max_abs:
            figures.max_abs, figures.worst = float(largest), start + int(where)
        figures.total_abs += float(difference.sum())
        figures.squares += float(torch.dot(exact, exact))
        if truth is not None:
            figures.actual_distance = max(figures.actual_distance, float((ours - exact).abs_().max()))
            figures.expected_distance = max(figures.expected_distance, float((theirs - exact).abs_().max()))
    return figures


def _widen(known: tuple[float, float], piece: Tensor) -> tuple[float, float]:
    low, high = torch.aminmax(piece)
    # A NaN must not lose against a number: `not <` instead of `>=`.
    lowest = known[0] if known[0] < float(low) or math.isnan(known[0]) else float(low)
    highest = known[1] if known[1] > float(high) or math.isnan(known[1]) else float(high)
    return lowest, highest


def _limit(expected: Tensor, truth: Tensor | None) -> float:
    if expected.dtype == torch.float64:
        return FLOAT64_RELATIVE
    return FLOAT32_RELATIVE if truth is None else FLOAT32_NOISE_RATIO


def _excess(relative: float, ratio: float | None, limit: float) -> str:
    if ratio is None:
        return f"differs by {relative:.1e} of its RMS, limit {limit:.0e}"
    return f"is {ratio:.1f} times as far from the float64 truth as torch, limit {limit:g}"


def _divide(value: float, by: float) -> float:
    if by == 0:
        return 0.0 if value == 0 else math.inf
    return value / by


def _unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index = []
    for size in reversed(shape):
        index.append(flat % size)
        flat //= size
    return tuple(reversed(index))


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
