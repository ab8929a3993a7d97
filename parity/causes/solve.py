"""Hypotheses about a number that nobody wrote down: it is solved for, and then held to every element of every input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from parity.causes.hypotheses import Asked, Hypothesis, replace_by
from parity.causes.steps import Edit, Step
from parity.causes.trial import make

ITERATIONS = 6
STEP = 1e-3
"""Of the number, or of one: by how much it is changed to see what comes of it."""
DIGITS = (3, 6)
"""To as many digits a number is rounded: one that nobody can have written is what some other fault looks like."""
GREATEST_EPSILON = 0.1


@dataclass(frozen=True)
class Number:
    """A number in a step: its name, what it is in the reference, and the step with another in its place.

    `of` says whose it is, where the name does not.
    """

    name: str
    own: float
    step: int
    edit: Callable[[Step, float], Edit]
    of: str = ""


def propose_solved(asked: Asked) -> Iterator[Hypothesis]:
    """For each number in the unit's steps, the one that comes nearest to the port's output."""
    if not asked.compared.is_floating_point():
        return
    for number in _numbers(asked):
        value = _solve(asked, number)
        if value is None or abs(value - number.own) <= 1e-9 * abs(number.own):
            continue
        rounded = (float(f"{value:.{digits}g}") for digits in DIGITS)
        for one in dict.fromkeys(kept for near in rounded for kept in (near, float(np.float32(near)))):
            if number.name != "epsilon" or 0 < one <= GREATEST_EPSILON:
                yield _suppose(asked, number, one)


def _suppose(asked: Asked, number: Number, value: float) -> Hypothesis:
    step = asked.replay.steps[number.step]
    return Hypothesis(
        number.name,
        f"the {number.name}{number.of} is {value:.6g}, the reference's is {number.own:.6g}",
        f"use {number.own:.6g}",
        {number.step: number.edit(step, value)},
        again=lambda other: _suppose(other, number, value),
    )


def _numbers(asked: Asked) -> Iterator[Number]:
    for step in asked.replay.relevant:
        make_number = MAKERS.get(step.name)
        if make_number is not None and step.outputs:
            yield from make_number(step)


def _slope(step: Step) -> Iterator[Number]:
    own = step.bind().get("negative_slope")
    if isinstance(own, float):
        yield Number("slope", own, step.number, lambda _, value: replace_by(_leaky(value)))


def _leaky(slope: float) -> Callable[[Tensor], Tensor]:
    return lambda features: functional.leaky_relu(features, slope)


def _epsilon(step: Step) -> Iterator[Number]:
    own, variance = step.bind().get("eps"), step.bind().get("running_var")
    is_fresh = isinstance(variance, Tensor) and bool((variance == variance[0]).all())  # then it is as any factor
    if isinstance(own, float) and not is_fresh:
        yield Number("epsilon", own, step.number, lambda one, value: one.altered(eps=value))


def _constant(step: Step) -> Iterator[Number]:
    """The number that a tensor is multiplied or divided by, or that is added to it."""
    places = [place for place, value in enumerate(step.args) if type(value) in (int, float)]
    if len(places) == 1 and len(step.tensors) == 1:
        place = places[0]
        yield Number("constant", float(step.args[place]), step.number, lambda _, value: _with_argument(place, value))


def _padding(step: Step) -> Iterator[Number]:
    """The value that a convolution is padded with."""
    padding = step.bind().get("padding", 0)
    sides = [padding] * (step.tensors[0].ndim - 2) if isinstance(padding, int) else padding
    if isinstance(sides, list | tuple) and any(sides):
        yield Number("value of padding", 0.0, step.number, lambda _, value: _padded(list(sides), value))


def _padded(sides: list[int], value: float) -> Edit:
    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        features = step.bind(args, kwargs)["input"]
        padded = functional.pad(features, [side for one in reversed(sides) for side in (one, one)], value=value)
        return step.altered(input=padded, padding=0)(step, args, kwargs)

    return edit


def _factors(step: Step) -> Iterator[Number]:
    """The one by which a term is multiplied before it is added, which is one."""
    for place, value in enumerate(step.args):
        if len(step.tensors) == 2 and isinstance(value, Tensor) and value.shape == step.outputs[0].shape:
            of = f" of {step.label(place)} in the sum"
            yield Number("factor", 1.0, step.number, partial(_scaled, place), of)


def _scaled(place: int, _: Step, value: float) -> Edit:
    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        return step.function(*args[:place], value * args[place], *args[place + 1 :], **kwargs)

    return edit


def _with_argument(place: int, value: float) -> Edit:
    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        return step.function(*args[:place], value, *args[place + 1 :], **kwargs)

    return edit


MAKERS: Mapping[str, Callable[[Step], Iterator[Number]]] = {
    "leaky_relu": _slope,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _padding),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm"), _epsilon),
    **dict.fromkeys(("mul", "div", "__rsub__"), _constant),
    **dict.fromkeys(("add", "sub"), lambda step: chain(_constant(step), _factors(step))),
}


def _solve(asked: Asked, number: Number) -> float | None:
    """By Gauss and Newton, from the reference's own; None where nothing depends on it, or the search goes astray."""

    def made(value: float) -> Tensor:
        return make(asked, _suppose(asked, number, value))

    value = number.own
    try:
        for _ in range(ITERATIONS):
            now = made(value)
            if now.shape != asked.compared.shape:
                return None
            change = STEP * max(abs(value), STEP)
            slope = (made(value + change) - now) / change
            square = float((slope * slope).sum())
            if not square > 0:
                return None
            moved = value + float((slope * (asked.compared - now)).sum()) / square
            if not np.isfinite(moved):
                return None
            if abs(moved - value) <= 1e-13 * abs(moved):
                break
            value = moved
    except Exception:  # noqa: BLE001 - what a unit says of an edit that does not fit it
        return None
    return value
