"""Comparing one pair of tensors: structure first, then values, element by element, on the maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.tolerances import FLOAT32_NOISE_RATIO, FLOAT64_RELATIVE

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far `actual` is from `expected`; true if within the limit.

    `relative` is `max_abs` over the RMS of the float64 truth. `noise_ratio` (float32 only) is the actual's
    greatest distance from that truth over the expected's own. `required_tolerance` is the smallest limit
    that would have passed. `reason` says what failed, or is empty.
    """

    passed: bool
    max_abs: float
    relative: float
    noise_ratio: float | None
    required_tolerance: float
    worst_index: tuple[int, ...]
    reason: str = ""

    def __bool__(self) -> bool:
        return self.passed


def compare_float64(actual: Array, expected: Array, *, limit: float = FLOAT64_RELATIVE) -> Comparison:
    """Is it the same function? Greatest difference over the expected tensor's RMS, at most `limit`."""
    fault = find_fault(actual, expected, "float64")
    if fault:
        return _failed(fault)
    max_abs, index = _greatest(actual, expected)
    relative = max_abs / _rms(expected)
    reason = "" if relative <= limit else f"differs by {relative:.1e} of its RMS, limit {limit:.0e}"
    return Comparison(
        passed=not reason,
        max_abs=max_abs,
        relative=relative,
        noise_ratio=None,
        required_tolerance=relative,
        worst_index=index,
        reason=reason,
    )


def compare_float32(actual: Array, expected: Array, truth: Array, *, limit: float = FLOAT32_NOISE_RATIO) -> Comparison:
    """Is its rounding ordinary? Distance from the float64 `truth` over that of `expected`, at most `limit`."""
    fault = find_fault(actual, expected, "float32") or find_fault(truth, truth, "float64")
    if fault:
        return _failed(fault)
    rms = _rms(truth)
    max_abs, index = _greatest(actual, expected)
    distance, _ = _greatest(actual, truth)
    floor = max(_greatest(expected, truth)[0], float(np.finfo(np.float32).eps) * rms)
    ratio = distance / floor
    reason = "" if ratio <= limit else f"is {ratio:.1f} times as far from the truth as torch, limit {limit:g}"
    return Comparison(
        passed=not reason,
        max_abs=max_abs,
        relative=max_abs / rms,
        noise_ratio=ratio,
        required_tolerance=ratio,
        worst_index=index,
        reason=reason,
    )


def find_fault(actual: Array, expected: Array, dtype: str) -> str:
    """What makes the pair incomparable, which is always a failure; empty if nothing does."""
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    for name, array in (("Paddle's", actual), ("torch's", expected)):
        if str(array.dtype) != dtype:
            return f"{name} dtype is {array.dtype}, expected {dtype}"
        if not array.size:
            return f"{name} output is empty"
        if not np.isfinite(array).all():
            return f"{name} output has NaN or infinite values"
        if array.size > 1 and array.min() == array.max():
            return f"{name} output is constant, which proves nothing"
    return ""


def _failed(reason: str) -> Comparison:
    infinite = float("inf")
    return Comparison(
        passed=False,
        max_abs=infinite,
        relative=infinite,
        noise_ratio=None,
        required_tolerance=infinite,
        worst_index=(),
        reason=reason,
    )


def _greatest(actual: Array, expected: Array) -> tuple[float, tuple[int, ...]]:
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    index = np.unravel_index(int(difference.argmax()), difference.shape)
    return float(difference[index]), tuple(map(int, index))


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array.astype(np.float64)))))
