"""Hypotheses about what a unit is given and what becomes of its result, whatever is inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from parity.causes.activations import OTHERS, SLOPES
from parity.causes.hypotheses import Asked, Hypothesis
from parity.causes.pooling import make_resizes
from parity.causes.tensors import find_order

Make = Callable[[Tensor], Tensor]
MOST_CHANNELS = 4096
LOSS_WEIGHTS = (0.4, 0.2, 0.5, 0.1, 0.3, 1.0)
"""By which auxiliary logits are counted where losses are summed."""
HALVES = ("float16", "bfloat16")


def on_outputs(asked: Asked) -> Iterator[Hypothesis]:
    """Another output of the network's, or probabilities for logits: nothing is run again for these."""
    yield from _other_outputs(asked)
    yield from _probabilities(asked.expected, asked.compared)


def on_results(asked: Asked) -> Iterator[Hypothesis]:
    """Something done to the result: activated, turned, resized, another tensor in its place."""
    expected, actual = asked.expected, asked.compared
    yield from on_outputs(asked)
    yield from _activated(asked)
    for name, make in _turns(expected).items():
        yield Hypothesis(name, f"it is {name}, the reference's is not", "leave it as it is", result=make)
    yield from _other_layers(asked)
    yield from _sums_of_outputs(asked)
    yield from _resized(asked)
    yield from _pooled(expected, actual)
    for name in (*HALVES, "float32"):
        text = f"it passes through {name}"
        yield Hypothesis("half precision inside", text, "keep the precision", result=partial(_through, name=name))
    yield from _channels(expected, actual)
    for said, factor in (("1/255", 1 / 255), ("255", 255.0), ("2", 2.0), ("1/2", 0.5)):
        text = f"it is {said} times the reference's"
        yield Hypothesis("scaled", text, f"leave the factor {said} out", result=partial(torch.mul, other=factor))


def on_inputs(asked: Asked) -> Iterator[Hypothesis]:
    """Something done to what the unit is given, before all else."""
    tensors = asked.replay.tensors
    if not tensors or not tensors[0].is_floating_point():
        return
    changes: list[tuple[str, Make]] = [
        ("divided by 255", lambda x: x / 255),
        ("multiplied by 255", lambda x: x * 255),
        *((name, make) for name, make in _turns(tensors[0]).items() if "layout" not in name),
        *((f"rounded to {name}", partial(_through, name=name)) for name in HALVES),
        *((f"activated by {name}", function) for name, function in OTHERS),
    ]
    for name, make in changes:
        text = f"its input is {name} before all else"
        yield Hypothesis("input changed", text, "use the input as it is", change=partial(_with_first, make=make))
    if len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
        yield Hypothesis("inputs exchanged", "its two inputs are exchanged", "exchange them", change=_reverse)
    if tensors[0].ndim == 3:
        for said, result in (("and the result turned back", _turn), ("", None)):
            text = f"its first two axes are read the other way round (batch for sequence){', ' * bool(said)}{said}"
            yield Hypothesis("batch for sequence", text, "see batch_first", change=_turn_all, result=result)
    if any(_is_size(value) for value in (*asked.replay.args, *asked.replay.kwargs.values())):
        text = "the size is read as (width, height)"
        yield Hypothesis("size reversed", text, "read it as (height, width)", other=_reverse_sizes)


def _activated(asked: Asked) -> Iterator[Hypothesis]:
    if asked.expected.shape != asked.compared.shape:
        return
    for name, function in OTHERS:
        if not name.startswith("LeakyReLU"):
            text = f"it goes through {name}, the reference's does not"
            yield Hypothesis("activation added", text, f"leave {name} out", result=function)
    for value, _ in asked.numbers(*SLOPES):
        text = f"it goes through LeakyReLU {value:g}, the reference's does not"
        make = partial(functional.leaky_relu, negative_slope=value)
        yield Hypothesis("activation added", text, "leave it out", result=make)


def _turns(expected: Tensor) -> dict[str, Make]:
    turns: dict[str, Make] = {}
    if expected.ndim == 4:
        turns = {
            "transposed in height and width": lambda x: x.transpose(2, 3),
            "mirrored left to right": lambda x: x.flip(3),
            "turned upside down": lambda x: x.flip(2),
            "turned by 180 degrees": lambda x: x.flip([2, 3]),
            "in the layout (N, H, W, C)": lambda x: x.permute(0, 2, 3, 1),
            "in the layout (N, W, H, C)": lambda x: x.permute(0, 3, 2, 1),
            "read as (N, H, W, C), which it is not": lambda x: x.reshape(
                [x.shape[0], *x.shape[2:], x.shape[1]]
            ).permute(0, 3, 1, 2),
            "reshaped from (N, H, W, C), not transposed": lambda x: x.permute(0, 2, 3, 1).reshape(x.shape),
        }
    if expected.ndim >= 2:
        what = "with its channels in the opposite order" if expected.ndim == 4 else "reversed along axis 1"
        turns[f"{what} (BGR for RGB)" if expected.ndim == 4 and expected.shape[1] == 3 else what] = lambda x: x.flip(1)
        turns["of the opposite sign"] = torch.neg
    return turns


def _probabilities(expected: Tensor, actual: Tensor) -> Iterator[Hypothesis]:
    if expected.ndim < 2 or not expected.is_floating_point():
        return
    make: dict[str, Make] = {}
    if actual.shape == expected.shape:
        for axis in dict.fromkeys((1, expected.ndim - 1)):
            make[f"the softmax over axis {axis}"] = partial(torch.softmax, dim=axis)
            make[f"the logarithm of the softmax over axis {axis}"] = partial(torch.log_softmax, dim=axis)
    if not actual.is_floating_point():
        make["the class of each pixel"] = partial(_classes, like=actual)
        resizes = make_resizes([int(side) for side in actual.shape[-2:]]) if expected.ndim == 4 else {}
        for (mode, corners), resize in resizes.items():
            said = f"the class of each pixel, after resizing ({mode}, align_corners={corners}),"
            make[said] = partial(_classes, like=actual, resize=resize)
    for what, function in make.items():
        text = f"it is {what} of the reference's"
        yield Hypothesis("probabilities for logits", text, "return the logits", result=function)


def _classes(logits: Tensor, like: Tensor, resize: Make | None = None) -> Tensor:
    resized = logits if resize is None else resize(logits)
    return resized.argmax(1).reshape(like.shape).to(like.dtype)


def _other_outputs(asked: Asked) -> Iterator[Hypothesis]:
    for number, tensor in enumerate(asked.replay.baseline):
        if number != asked.number:
            what = "tensor that it is given, number " if asked.replay.watched.kind == "input" else "number "
            text = f"{what}{asked.number + 1} is the reference's number {number + 1}"
            make = partial(_instead, other=tensor)
            yield Hypothesis("another output", text, "keep the reference's order", result=make)


def _other_layers(asked: Asked) -> Iterator[Hypothesis]:
    outermost = sorted(asked.replay.inner.items(), key=lambda item: item[0][0].count("."))
    for (path, call, number), tensor in outermost:
        again = f" (pass {call + 1})" if call else ""
        text = f"it is {f'output {number + 1}' if number else 'the output'} of `{path}`{again}"
        make = partial(_instead, other=tensor)
        yield Hypothesis("another layer's output", text, "hand on what the reference does", result=make)


def _instead(_: Tensor, other: Tensor) -> Tensor:
    return other


def _sums_of_outputs(asked: Asked) -> Iterator[Hypothesis]:
    for number, other in enumerate(asked.replay.baseline if asked.replay.watched.kind == "output" else ()):
        if number != asked.number and other.shape == asked.expected.shape:
            for weight in LOSS_WEIGHTS:
                text = f"{weight:g} times number {number + 1} is added to it"
                make = partial(torch.add, other=other, alpha=weight)
                yield Hypothesis("outputs summed", text, "return each by itself", result=make)


def _resized(asked: Asked) -> Iterator[Hypothesis]:
    """Resized to the images, or from what the unit is given."""
    expected, actual = asked.expected, asked.compared
    if expected.ndim != 4 or actual.ndim != 4 or expected.shape[:2] != actual.shape[:2]:
        return
    given = next(
        (one for one in asked.replay.tensors if one.ndim == 4 and one.shape[:2] == expected.shape[:2]), expected
    )
    for (mode, corners), resize in make_resizes([int(side) for side in actual.shape[2:]]).items():
        said = f"{mode}, align_corners={corners}"
        if expected.shape != actual.shape:
            text = f"it is resized ({said}), the reference's is not"
            yield Hypothesis("resized", text, "leave its size", result=resize)
        if given.shape != expected.shape:
            text = f"its input is resized by {said}, which the reference does not do"
            make = partial(_made_of, given=given, make=resize)
            yield Hypothesis("way of resizing", text, "resize as the reference does", result=make)


def _made_of(_: Tensor, given: Tensor, make: Make) -> Tensor:
    return make(given)


def _pooled(expected: Tensor, actual: Tensor) -> Iterator[Hypothesis]:
    if expected.ndim != 4 or actual.ndim != 4 or expected.shape == actual.shape:
        return
    for ceil in (False, True):
        for name, pool in (("average", functional.avg_pool2d), ("maximum", functional.max_pool2d)):
            text = f"the {name} of 2 x 2 pixels is taken of it first"
            make = partial(pool, kernel_size=2, stride=2, ceil_mode=ceil)
            yield Hypothesis("pooled before", text, "leave the pooling out", result=make)
    text = "every other row and column is taken of it"
    yield Hypothesis("pooled before", text, "leave it out", result=lambda x: x[:, :, ::2, ::2])


def _through(tensor: Tensor, name: str) -> Tensor:
    return tensor.to(getattr(torch, name)).to(tensor.dtype)


def _channels(expected: Tensor, actual: Tensor) -> Iterator[Hypothesis]:
    """The same channels in another order."""
    if expected.shape != actual.shape or expected.ndim < 2 or not 2 <= expected.shape[1] <= MOST_CHANNELS:
        return
    if not expected.is_floating_point():
        return
    order = find_order(*(one.transpose(0, 1).flatten(1).numpy() for one in (expected, actual)))
    if order is not None and order != list(range(len(order))):
        moved = [number for number, own in enumerate(order) if number != own]
        said = ", ".join(f"{number} is the reference's {order[number]}" for number in moved[:3])
        text = f"{len(moved)} of {len(order)} channels are in another order: {said}"
        make = partial(torch.index_select, dim=1, index=torch.tensor(order))
        yield Hypothesis("channels in another order", text, "use the reference's order", result=make)


def _with_first(given: list[Tensor], make: Make) -> list[Tensor]:
    return [make(given[0]), *given[1:]]


def _reverse(given: list[Tensor]) -> list[Tensor]:
    return given[::-1]


def _turn(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, 1)


def _turn_all(given: list[Tensor]) -> list[Tensor]:
    return [_turn(one) if one.ndim == 3 else one for one in given]


def _is_size(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, int) for one in value)


def _reverse_sizes(value: Any) -> Any:
    return type(value)(reversed(value)) if _is_size(value) else value
