"""What can be measured of a difference that nothing known explains: where it is, and what it is in proportion to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from twins.tolerances import FLOAT64_RELATIVE

EXACT = 1e-9
"""Of the greatest difference: what varies by less is constant."""
MOST_BORDER = 8
LISTED = 4


def measure_facts(expected: Tensor, actual: Tensor, given: Tensor | None = None) -> tuple[str, ...]:
    """Sentences about `actual` beside `expected`, both float64 and of one shape; `given` is what the unit was given."""
    if expected.shape != actual.shape:
        return (f"its shape is {list(actual.shape)}, the reference's {list(expected.shape)}",)
    if not expected.is_floating_point() or not actual.is_floating_point():
        return ()
    if not bool(torch.isfinite(actual).all()):
        return (f"{int((~torch.isfinite(actual)).sum()):,} of {actual.numel():,} elements are not finite",)
    difference = actual - expected
    largest = float(difference.abs().max())
    if largest == 0:
        return ()
    wrong = difference.abs() > FLOAT64_RELATIVE * float(expected.square().mean().sqrt())
    if not bool(wrong.any()):
        return ()
    return (
        *_proportions(expected, actual, difference, largest, given),
        *_places(wrong),
        *_signs(wrong, given),
    )


def _proportions(
    expected: Tensor, actual: Tensor, difference: Tensor, largest: float, given: Tensor | None
) -> Iterator[str]:
    if float(difference.max() - difference.min()) <= EXACT * largest:
        yield f"the difference is the constant {float(difference.reshape(-1)[0]):.6g}"
    factor = _factor(expected, actual)
    if factor is not None:
        yield f"it is {factor:.6g} times the reference's"
    factor = None if given is None or given.shape != difference.shape else _factor(given, difference)
    if factor is not None:
        yield f"the difference is {factor:.6g} times its input"
    if difference.ndim >= 2 and difference.shape[1] > 1:
        by_channel = difference.transpose(0, 1).flatten(1)
        if by_channel.shape[1] > 1 and float((by_channel.max(1)[0] - by_channel.min(1)[0]).max()) <= EXACT * largest:
            yield "the difference is one constant in each channel"


def _factor(of: Tensor, made: Tensor) -> float | None:
    """The number that all of `made` is of `of`."""
    square = float((of * of).sum())
    if square == 0:
        return None
    factor = float((of * made).sum()) / square
    rest = float((made - factor * of).abs().max())
    return factor if rest <= EXACT * float(made.abs().max()) else None


def _places(wrong: Tensor) -> Iterator[str]:
    """Where elements differ: in some channels, at borders, in some pictures."""
    count = int(wrong.sum())
    if count == wrong.numel():
        return
    if wrong.ndim >= 2 and wrong.shape[1] > 1:
        channels = wrong.transpose(0, 1).flatten(1).any(1).nonzero().reshape(-1).tolist()
        if len(channels) < wrong.shape[1]:
            yield f"it differs in {len(channels)} of {wrong.shape[1]} channels only: {_listed(channels)}"
    if wrong.shape[0] > 1:
        pictures = wrong.flatten(1).any(1).nonzero().reshape(-1).tolist()
        if len(pictures) < wrong.shape[0]:
            yield f"it differs in {len(pictures)} of {wrong.shape[0]} pictures only: {_listed(pictures)}"
    if wrong.ndim == 4:
        yield from _borders(wrong)


def _borders(wrong: Tensor) -> Iterator[str]:
    height, width = wrong.shape[2:]
    for border in range(1, min(MOST_BORDER, (min(height, width) - 1) // 2) + 1):
        if not bool(wrong[:, :, border : height - border, border : width - border].any()):
            yield f"it differs only within {border} {'pixel' if border == 1 else 'pixels'} of the border"
            return


def _signs(wrong: Tensor, given: Tensor | None) -> Iterator[str]:
    if given is None or given.shape != wrong.shape or not given.is_floating_point():
        return
    negative = given < 0
    if bool(negative.any()) and not bool((wrong & ~negative).any()):
        yield "it differs only where its input is negative"
    positive = given > 0
    if bool(positive.any()) and not bool((wrong & ~positive).any()):
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
