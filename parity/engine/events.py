"""The tensors of an event, and the port's beside them: which are compared, and whether they are the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from parity.engine.stream import Event
from parity.verdicts.comparison import compare
from twins.lazy import Tensor

Array = np.ndarray[Any, Any]
MOST_PADDING = 64
"""Rows or columns that a port may put around a layer's input, on both sides together."""
PADDING = ("constant", "reflect", "edge", "wrap")
"""NumPy's names of the ways in which layers pad."""


def as_given(constant: Array) -> float:
    """The value of an argument that has one throughout, as both networks are given it."""
    value = constant.flat[0]
    return float(np.float32(value)) if constant.dtype.kind == "f" else float(value)


def is_padded_by_one(actual: Tensor, expected: Tensor) -> bool:
    """Whether one of two inputs (N, C, H, W) is the other with a border around it.

    The port's border may hold anything, which its layer's output shows; the reference's is one that a layer makes.
    """
    if any(True for _ in _borders(actual, expected)):
        return True
    borders = list(_borders(expected, actual))
    own, padded = (np.asarray(one.cpu() if hasattr(one, "cpu") else one) for one in (actual, expected))
    return any(
        bool(compare(np.pad(own, ((0, 0), (0, 0), *widths), mode=mode), padded))  # type: ignore[call-overload]
        for widths in borders
        for mode in PADDING
        if mode != "reflect" or all(max(width) < side for width, side in zip(widths, own.shape[2:], strict=True))
    )


def _borders(large: Tensor, small: Tensor) -> Iterator[list[tuple[int, int]]]:
    """What is before and after `small` in `large`, axis by axis, where that stands in it."""
    if large.ndim != small.ndim or large.ndim < 3 or large.shape[:2] != small.shape[:2]:
        return
    borders = [mine - other for mine, other in zip(large.shape[2:], small.shape[2:], strict=True)]
    if not any(borders) or not all(0 <= border <= MOST_PADDING for border in borders):
        return
    for starts in product(*(range(border + 1) for border in borders)):
        spans = zip(starts, small.shape[2:], strict=True)
        place: Any = (..., *(slice(start, start + size) for start, size in spans))
        inner, corner = large[place], (0,) * small.ndim
        if inner[corner] == small[corner] and compare(inner, small):
            yield [(start, border - start) for start, border in zip(starts, borders, strict=True)]


def sequences(tensors: Sequence[Any]) -> list[int]:
    """Which of what an attention is given are its query, key and value."""
    return [number for number, one in enumerate(tensors) if one.ndim == tensors[0].ndim and is_floating(one)][:3]


def unlike(tensors: list[Any]) -> list[Any]:
    """Each tensor once."""
    return list({id(tensor): tensor for tensor in tensors}.values())


def unlike_tensors(event: Event) -> Event:
    """The event with each of its tensors once."""
    kept = [n for n, tensor in enumerate(event.tensors) if not any(tensor is one for one in event.tensors[:n])]
    return pick(event, kept)


def first(event: Event, count: int) -> Event:
    return pick(event, range(min(count, len(event.tensors))))


def pick(event: Event, numbers: Sequence[int]) -> Event:
    truth = None if event.truth is None else tuple(event.truth[number] for number in numbers)
    return replace(event, tensors=tuple(event.tensors[number] for number in numbers), truth=truth)


def is_floating(tensor: Any) -> bool:
    return "float" in str(tensor.dtype)


def identity(actual: list[Any], event: Event) -> tuple[int, ...]:
    ours = [number for tensor in actual for number in (tensor.data_ptr(), tensor.inplace_version)]
    return *ours, *(number for tensor in event.tensors for number in (_address(tensor), version(tensor)))


def version(tensor: Any) -> int:
    """Counts changes in place; a recording's arrays are never changed."""
    return int(getattr(tensor, "_version", 0))


def _address(tensor: Any) -> int:
    return int(tensor.data_ptr() if hasattr(tensor, "data_ptr") else tensor.__array_interface__["data"][0])
