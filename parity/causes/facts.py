"""What can be measured of a difference that nothing known explains: where it is, and what it is in proportion to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from twins.tolerances import FLOAT64_RELATIVE

Array = np.ndarray[Any, Any]
EXACT = 1e-9
"""Of the greatest difference: what varies by less is constant."""
MOST_BORDER = 8
LISTED = 4


def measure_facts(expected: Array, actual: Array, given: Array | None = None) -> tuple[str, ...]:
    """Sentences about `actual` beside `expected`, both float64 and of one shape; `given` is what the unit was given."""
    if expected.shape != actual.shape:
        return (f"its shape is {list(actual.shape)}, the reference's {list(expected.shape)}",)
    if expected.dtype.kind != "f" or actual.dtype.kind != "f":
        return ()
    if not np.isfinite(actual).all():
        return (f"{int((~np.isfinite(actual)).sum()):,} of {actual.size:,} elements are not finite",)
    difference = actual - expected
    largest = float(np.abs(difference).max(initial=0.0))
    if largest == 0:
        return ()
    wrong = np.abs(difference) > FLOAT64_RELATIVE * float(np.sqrt(np.square(expected).mean()))
    if not wrong.any():
        return ()
    return (
        *_proportions(expected, actual, difference, largest, given),
        *_places(wrong),
        *_signs(wrong, given),
    )


def _proportions(
    expected: Array, actual: Array, difference: Array, largest: float, given: Array | None
) -> Iterator[str]:
    if float(np.ptp(difference)) <= EXACT * largest:
        yield f"the difference is the constant {float(difference.flat[0]):.6g}"
    factor = _factor(expected, actual)
    if factor is not None:
        yield f"it is {factor:.6g} times the reference's"
    factor = None if given is None or given.shape != difference.shape else _factor(given, difference)
    if factor is not None:
        yield f"the difference is {factor:.6g} times its input"
    if difference.ndim >= 2 and difference.shape[1] > 1:
        by_channel = _by_channel(difference)
        if by_channel.shape[1] > 1 and float(np.ptp(by_channel, 1).max()) <= EXACT * largest:
            yield "the difference is one constant in each channel"


def _by_channel(array: Array) -> Array:
    return array.swapaxes(0, 1).reshape(array.shape[1], -1)


def _factor(of: Array, made: Array) -> float | None:
    """The number that all of `made` is of `of`."""
    square = float((of * of).sum())
    if square == 0:
        return None
    factor = float((of * made).sum()) / square
    rest = float(np.abs(made - factor * of).max())
    return factor if rest <= EXACT * float(np.abs(made).max()) else None


def _places(wrong: Array) -> Iterator[str]:
    """Where elements differ: in some channels, at borders, in some pictures."""
    if wrong.all():
        return
    if wrong.ndim >= 2 and wrong.shape[1] > 1:
        channels = np.flatnonzero(_by_channel(wrong).any(1)).tolist()
        if len(channels) < wrong.shape[1]:
            yield f"it differs in {len(channels)} of {wrong.shape[1]} channels only: {_listed(channels)}"
    if len(wrong) > 1:
        pictures = np.flatnonzero(wrong.reshape(len(wrong), -1).any(1)).tolist()
        if len(pictures) < len(wrong):
            yield f"it differs in {len(pictures)} of {len(wrong)} pictures only: {_listed(pictures)}"
    if wrong.ndim == 4:
        yield from _borders(wrong)


def _borders(wrong: Array) -> Iterator[str]:
    height, width = wrong.shape[2:]
    for border in range(1, min(MOST_BORDER, (min(height, width) - 1) // 2) + 1):
        if not wrong[:, :, border : height - border, border : width - border].any():
            yield f"it differs only within {border} {'pixel' if border == 1 else 'pixels'} of the border"
            return


def _signs(wrong: Array, given: Array | None) -> Iterator[str]:
    if given is None or given.shape != wrong.shape or given.dtype.kind != "f":
        return
    negative, positive = given < 0, given > 0
    if negative.any() and not (wrong & ~negative).any():
        yield "it differs only where its input is negative"
    if positive.any() and not (wrong & ~positive).any():
        yield "it differs only where its input is positive"


def _listed(numbers: list[int]) -> str:
    """`3–7, 9, …`"""
    runs: list[list[int]] = [[numbers[0]]]
    for before, number in pairwise(numbers):
        if number != before + 1:
            runs.append([])
        runs[-1].append(number)
    said = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return ", ".join(said[:LISTED]) + (", …" if len(said) > LISTED else "")
