"""Where the windows of a sliding evaluation lie."""

from __future__ import annotations

from fractions import Fraction
from math import ceil


def stride_of(window: int, overlap: Fraction) -> int:
    """Pixels from one window to the next."""
    return ceil(window * (1 - overlap))


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along one side of `length`; the last window is moved back to end with it."""
    last = max(length - window, 0)
    return [min(start, last) for start in range(0, last + stride, stride)]


def coverage(length: int, window: int, starts: list[int]) -> list[int]:
    """How many windows each pixel of a side lies in."""
    return [sum(start <= pixel < start + window for start in starts) for pixel in range(length)]
