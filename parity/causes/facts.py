"""What can be measured of a difference that nothing known explains: where it is, and what it is in proportion to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from twins.tolerances import FLOAT64_RELATIVE

Array = np.ndarray[Any, Any]
EXACT = 1e-9
"""Of the greatest difference: what varies by less is constant."""
MOST_BORDER = 8
LISTED = 4
MOST_ROWS = 64
MOST_SORTED = 1 << 20


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
    found = (
        *_proportions(expected, actual, difference, largest, given),
        *_moves(expected, actual),
        *_places(wrong),
        *_signs(wrong, given),
        *_saturated(wrong, expected),
    )
    return found or (_resemblance(expected, actual),)


def common_facts(facts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Those that were measured on every input; else those of the first."""
    first, *others = facts
    return tuple(fact for fact in first if all(fact in one for one in others)) or tuple(
        f"{fact} (on the smallest input)" for fact in first if others
    )


def _proportions(
    expected: Array, actual: Array, difference: Array, largest: float, given: Array | None
) -> Iterator[str]:
    if float(np.ptp(difference)) <= EXACT * largest:
        yield f"the difference is the constant {float(difference.flat[0]):.6g}"
    factor = _factor(expected, actual)
    if factor is not None:
        yield f"it is {factor:.6g} times the reference's"
    own = None if given is None or given.shape != difference.shape else _factor(given, difference)
    if own is not None:
        yield f"the difference is {own:.6g} times its input"
    for axis, what in enumerate((_samples(expected), _channels(expected))[: difference.ndim - 1]):
        sides = [_along(one, axis) for one in (expected, actual, difference)]
        if factor is not None or difference.shape[axis] == 1 or sides[0].shape[1] == 1:
            continue
        if float(np.ptp(sides[2], 1).max()) <= EXACT * largest:
            yield f"the difference is one constant in each of the {what}"
        factors = [_factor(one, two) for one, two in zip(*sides[:2], strict=True)] if len(sides[0]) <= MOST_ROWS else []
        if factors and None not in factors:
            yield f"it is a constant factor of the reference's in each of the {what}"


def _samples(array: Array) -> str:
    return "pictures" if array.ndim == 4 else "samples"


def _channels(array: Array) -> str:
    return "places along axis 1" if array.ndim == 3 else "channels"


def _along(array: Array, axis: int) -> Array:
    return array.swapaxes(0, axis).reshape(array.shape[axis], -1)


def _factor(of: Array, made: Array) -> float | None:
    """The number that all of `made` is of `of`."""
    square = float((of * of).sum())
    if square == 0:
        return None
    factor = float((of * made).sum()) / square
    rest = float(np.abs(made - factor * of).max())
    return factor if rest <= EXACT * float(np.abs(made).max()) else None


def _moves(expected: Array, actual: Array) -> Iterator[str]:
    """The same values at other places."""
    scale = EXACT * float(np.abs(expected).max())
    for axis in range(1, expected.ndim):
        length = expected.shape[axis] - 1
        for by, (one, two) in {1: (expected, actual), -1: (actual, expected)}.items():
            kept, moved = one.swapaxes(0, axis)[:length], two.swapaxes(0, axis)[1:]
            if length > 1 and float(np.abs(kept - moved).max()) <= scale:
                yield f"it is the reference's moved by {by} along axis {axis}, but for the edge"
                return
    if expected.size <= MOST_SORTED:
        values = [np.sort(one, axis=None) for one in (expected, actual)]
        if float(np.abs(values[0] - values[1]).max()) <= scale:
            yield "it has the reference's values, at other places"


def _saturated(wrong: Array, expected: Array) -> Iterator[str]:
    """That it differs only where the reference's is at an end of its range, as behind a clamp."""
    for name, end in (("least", expected.min()), ("greatest", expected.max())):
        there = expected == end
        if int(there.sum()) > 1 and not (wrong & ~there).any():
            yield f"it differs only where the reference's is {float(end):.6g}, its {name} value"


def _resemblance(expected: Array, actual: Array) -> str:
    rms = float(np.sqrt(np.square(actual).mean() / max(np.square(expected).mean(), 1e-300)))
    one, two = (side.ravel() - side.mean() for side in (expected, actual))
    length = float(np.linalg.norm(one) * np.linalg.norm(two))
    alike = f"correlates with the reference's by {float((one * two).sum()) / length:.4f}; " if length else ""
    return f"it {alike}its RMS is {rms:.4g} times the reference's"


def _places(wrong: Array) -> Iterator[str]:
    """Where elements differ: in some channels, at borders, in some pictures."""
    if wrong.all():
        return
    if wrong.ndim >= 2 and wrong.shape[1] > 1:
        channels = np.flatnonzero(_along(wrong, 1).any(1)).tolist()
        if len(channels) < wrong.shape[1]:
            yield f"it differs in {len(channels)} of {wrong.shape[1]} {_channels(wrong)} only: {_listed(channels)}"
    if len(wrong) > 1:
        pictures = np.flatnonzero(_along(wrong, 0).any(1)).tolist()
        if len(pictures) < len(wrong):
            yield f"it differs in {len(pictures)} of {len(wrong)} {_samples(wrong)} only: {_listed(pictures)}"
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
