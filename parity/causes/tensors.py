"""Hypotheses about weights: what a porter may have made of a tensor on its way into the port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twins.tensors import in_half_precision

Array = np.ndarray[Any, Any]
EPSILON = 1e-5
"""InPlaceABN's."""
NEAR = 1e-6
"""Of a tensor's greatest magnitude: two that a float32 rounds otherwise are that near."""
MOST_ROWS = 4096


@dataclass(frozen=True)
class Weight:
    """A tensor of the port that is not the reference's; `label` is the reference's name of it.

    `parameter` is the reference's own, to be set to what the port has, or None where it cannot run again; `others` are
    its other tensors of that shape.
    """

    label: str
    parameter: Any
    expected: Array
    actual: Array
    others: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """What was made of a tensor: a name, and what to say after its label."""

    name: str
    text: str
    fix: str


def explain_tensor(weight: Weight) -> Explained:
    """How the port's tensor came of the reference's; as a difference in figures where nothing known makes it."""
    expected, actual = (np.asarray(one, dtype=np.float64) for one in (weight.expected, weight.actual))
    for found in (*_turned(expected, actual), *_scales(weight, expected, actual)):
        return found
    for label, other in weight.others.items():
        if other.shape == actual.shape and np.ptp(other) > 0 and _same(np.asarray(other, np.float64), actual):
            text = f"holds the values of `{label}`"
            return Explained("another layer's tensor", text, "load each into its own layer")
    for found in (*_rounded(expected, actual), *_fresh(expected, actual), *_reordered(expected, actual)):
        return found
    return _figures(expected, actual)


def _turned(expected: Array, actual: Array) -> Iterator[Explained]:
    turns: dict[str, Callable[[Array], Array]] = (
        {"transposed": lambda x: x.swapaxes(0, 1)} if expected.ndim >= 2 else {}
    )
    if expected.ndim == 4:
        turns["flipped in height and width"] = lambda x: x[:, :, ::-1, ::-1]
        turns["transposed in height and width"] = lambda x: x.swapaxes(2, 3)
        turns["flipped in height"] = lambda x: x[:, :, ::-1]
        turns["flipped in width"] = lambda x: x[:, :, :, ::-1]
    if expected.ndim >= 2:
        turns["with its input channels in the opposite order"] = lambda x: x[:, ::-1]
    if expected.ndim >= 1:
        turns["with its output channels in the opposite order"] = lambda x: x[::-1]
    for name, make in turns.items():
        if make(expected).shape == actual.shape and _same(make(expected), actual):
            yield Explained(f"weight {name}", f"is {name}", "load it as it is (a Linear's weight alone is transposed)")
    is_reshaped = expected.ndim >= 2 and expected.shape != actual.shape and expected.size == actual.size
    if is_reshaped and _same(expected.reshape(actual.shape), actual):
        yield Explained("weight reshaped", "is reshaped, not transposed", "transpose it")


def _scales(weight: Weight, expected: Array, actual: Array) -> Iterator[Explained]:
    """InPlaceABN's |weight| + epsilon, folded wrongly, against the scale itself and against the folded one."""
    if expected.ndim != 1 or expected.shape != actual.shape or np.ptp(expected) == 0:
        return
    magnitude = np.abs(expected)
    folded = {
        "magnitude without epsilon": (magnitude, "is |weight| without the epsilon that InPlaceABN adds"),
        "epsilon twice": (magnitude + 2 * EPSILON, "is folded twice: epsilon is added twice"),
        "without epsilon": (magnitude - EPSILON, "is without the epsilon that InPlaceABN adds"),
        "epsilon added": (magnitude + EPSILON, "has epsilon added to it once more"),
    }
    for name, (value, text) in folded.items():
        if _same(value, actual, 1e-7):
            yield Explained(f"scale {name}", text, "fold it once: |weight| + 1e-05")
    for kept, text in (
        (expected, "its sign differs"),
        (magnitude - EPSILON, "is not folded: it has the source's sign, and no epsilon"),
    ):
        if _same(np.abs(kept), np.abs(actual), 1e-7) and (actual < 0).any() and not _same(kept, actual):
            yield Explained("scale with its sign", text, "fold it: |weight| + 1e-05")


def _rounded(expected: Array, actual: Array) -> Iterator[Explained]:
    if expected.shape != actual.shape:
        return
    single = expected.astype(np.float32)
    for name in ("float16", "bfloat16", "float32"):
        if np.array_equal(single if name == "float32" else in_half_precision(single, name), actual):
            yield Explained(f"rounded to {name}", f"is rounded to {name}", "convert from the float32 checkpoint")
    steps = np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-300)
    if 0 < steps <= 1 / 127 and len(np.unique(actual)) <= 256 < expected.size:
        yield Explained("quantised", "has at most 256 values: it is quantised", "convert from the float32 checkpoint")
    nonzero = expected != 0
    factors = actual[nonzero] / expected[nonzero] if nonzero.any() else np.zeros(0)
    if factors.size > 1 and factors[0] not in (0, 1) and np.allclose(factors, factors[0], rtol=1e-6, atol=0):
        yield Explained("weight scaled", f"is {factors[0]:g} times the reference's", "load it unscaled")


def _fresh(expected: Array, actual: Array) -> Iterator[Explained]:
    values = {0.0: "zeros", 1.0: "ones"}
    if actual.size and np.ptp(actual) == 0 and float(actual.flat[0]) in values:
        said = values[float(actual.flat[0])] if actual.size > 1 else f"{actual.flat[0]:g}"
        yield Explained("not loaded", f"is {said}, as a tensor is that was never loaded", "load it")


def _reordered(expected: Array, actual: Array) -> Iterator[Explained]:
    if expected.shape != actual.shape:
        return
    for axis, what in ((0, "output"), (1, "input")):
        if expected.ndim <= axis or not 2 <= expected.shape[axis] <= MOST_ROWS:
            continue
        order = find_order(*(np.moveaxis(one, axis, 0).reshape(one.shape[axis], -1) for one in (expected, actual)))
        if order is not None:
            moved = sum(number != own for number, own in enumerate(order))
            text = f"has {moved} of its {len(order)} {what} channels in another order"
            yield Explained("channels in another order", text, "keep the order of the channels")
            return


def find_order(expected: Array, actual: Array) -> list[int] | None:
    """For each row of `actual` the row of `expected` that it is, each once; None if it is none."""
    free = dict.fromkeys(range(len(expected)))
    sums = expected.sum(1), actual.sum(1)
    scale = float(np.abs(expected).sum(1).max()) or 1.0
    order = []
    for number in range(len(actual)):
        near = [one for one in free if abs(float(sums[0][one] - sums[1][number])) <= 1e-9 * scale]
        equal = (one for one in near if np.allclose(expected[one], actual[number], rtol=1e-9, atol=1e-12 * scale))
        own = next(equal, None)
        if own is None:
            return None
        del free[own]
        order.append(own)
    return order


def _figures(expected: Array, actual: Array) -> Explained:
    if expected.shape != actual.shape:
        text = f"has shape {list(actual.shape)}, the reference's {list(expected.shape)}"
        return Explained("weight of another shape", text, "build the layer as the reference's")
    different = int((expected != actual).sum())
    distance = float(np.abs(actual - expected).max())
    correlation = (
        np.corrcoef(expected.ravel(), actual.ravel())[0, 1]
        if expected.size > 2 and np.ptp(expected) and np.ptp(actual)
        else 0.0
    )
    if different == expected.size and expected.size >= 64 and abs(correlation) < 0.3:
        text = "has nothing of the reference's values: it is another tensor, or still its random initial one"
        return Explained("not loaded", text, "load it")
    text = f"differs in {different:,} of {expected.size:,} elements, by at most {distance:.1e}"
    return Explained("weight differs", text, "load the reference's values")


def _same(expected: Array, actual: Array, near: float = NEAR) -> bool:
    if expected.shape != actual.shape:
        return False
    scale = float(np.abs(expected).max()) if expected.size else 0.0
    return bool(np.all(np.abs(expected - actual) <= near * max(scale, 1e-300)))
