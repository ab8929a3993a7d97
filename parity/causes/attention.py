"""Hypotheses about attention, written by hand or not: mask, softmax, scale, precision, and which matrix is which."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from parity.causes.hypotheses import Asked, Hypothesis, follow_by, leave_out, precede_by, replace_by
from parity.causes.steps import CALL, Edit, Step

MASKS = (-10.0, -100.0, -1000.0, -1e4, -1e5, -1e6, -1e8, -1e9, -65504.0, 10.0, 1.0, math.inf)
"""Finite values that stand in masks for minus infinity; and the sign lost."""
LOWEST = -1e3
"""What masks is at most that."""
SOFTMAXES = ("softmax", "log_softmax", "_softmax")
CASTS = ("float16", "bfloat16", "float32")


def masks(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """An addition of minus infinity: left out, or finite."""
    for number, tensor in enumerate(step.tensors[:2]):
        if len(step.tensors) < 2 or not is_mask(tensor) or not step.outputs:
            continue
        other = 1 - number
        if step.tensors[other].shape == step.outputs[0].shape:
            yield Hypothesis("mask missing", "the mask is not added", "add the mask", {step.number: leave_out(other)})
        for value in MASKS:
            finite = _with_argument(number, partial(_finite, lowest=value))
            text = f"the mask is {value:g} where the reference has minus infinity"
            yield Hypothesis("finite mask", text, "mask with -inf", {step.number: finite})
            filled = _masked_by(number, value)
            yield Hypothesis(
                "finite mask", f"masked places are filled with {value:g}", "mask with -inf", {step.number: filled}
            )
        if _is_square(tensor):
            turned = {step.number: _with_argument(number, lambda mask: mask.mT)}
            yield Hypothesis("mask transposed", "the mask is transposed", "mask what the reference masks", turned)


def chosen_by_masks(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """`where` with minus infinity: the mask left out, inverted, transposed, or finite."""
    if len(step.tensors) < 2 or len(step.args) != 3 or not isinstance(step.args[0], Tensor):
        return
    for place in (1, 2):
        lowest = torch.as_tensor(step.args[place])
        if not bool((lowest <= LOWEST).all()):
            continue
        other, shape = step.args[3 - place], step.outputs[0].shape
        if isinstance(other, Tensor) and other.shape == shape:
            kept = {step.number: lambda one, args, kwargs, place=place: args[3 - place].clone()}
            yield Hypothesis("mask missing", "the mask is not applied", "apply the mask", kept)
        for finite in MASKS:
            text = f"masked places are filled with {finite:g}"
            filled = _with_argument(place, partial(_full, like=lowest, value=finite))
            yield Hypothesis("finite mask", text, "mask with -inf", {step.number: filled})
        inverted = {step.number: _with_argument(0, lambda mask: ~mask.bool())}
        yield Hypothesis("mask inverted", "the mask is inverted", "mask what the reference masks", inverted)
        if _is_square(step.args[0]):
            turned = {step.number: _with_argument(0, lambda mask: mask.mT)}
            yield Hypothesis("mask transposed", "the mask is transposed", "mask what the reference masks", turned)


def _with_argument(place: int, make: Callable[[Any], Any]) -> Edit:
    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        return step.function(*args[:place], make(args[place]), *args[place + 1 :], **kwargs)

    return edit


def _finite(mask: Tensor, lowest: float) -> Tensor:
    return torch.where(torch.isinf(mask), lowest, mask)


def _full(_: Any, like: Tensor, value: float) -> Tensor:
    return torch.full_like(like, value)


def _instead(_: Any, value: float) -> float:
    return value


def _is_square(tensor: Tensor) -> bool:
    return tensor.ndim >= 2 and tensor.shape[-1] == tensor.shape[-2]


def _masked_by(number: int, value: float) -> Edit:
    """An edit of a sum: where its tensor of that number is minus infinity, it is `value`."""

    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        made = step.function(*args, **kwargs)
        return torch.where(torch.isneginf(args[number]).expand_as(made), value, made)

    return edit


def is_mask(tensor: Tensor) -> bool:
    """Whether a tensor has minus infinity in it."""
    return tensor.is_floating_point() and tensor.numel() > 0 and bool(torch.isneginf(tensor).any())


def fills(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """masked_fill left out, by another value, or by the mask's opposite."""
    if step.tensors[0].shape == step.outputs[0].shape:
        yield Hypothesis("mask missing", "the mask is not applied", "apply the mask", {step.number: leave_out()})
    for value in MASKS:
        text = f"masked places are filled with {value:g}"
        yield Hypothesis("finite mask", text, "mask with -inf", {step.number: _filled(value)})
    inverted = {step.number: _with_argument(1, lambda mask: ~mask.bool())}
    yield Hypothesis("mask inverted", "the mask is inverted", "mask what the reference masks", inverted)
    if _is_square(step.tensors[1]):
        turned = {step.number: _with_argument(1, lambda mask: mask.mT)}
        yield Hypothesis("mask transposed", "the mask is transposed", "mask what the reference masks", turned)


def _filled(value: float) -> Edit:
    return lambda step, args, kwargs: step.function(args[0], args[1], value)


def softmaxes(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Over another axis, left out, of scaled or rounded energies; over each part that was joined before."""
    energies = step.tensors[0]
    axis = _axis(step, energies.ndim)
    for other in (one for one in range(energies.ndim) if one != axis):
        text = f"softmax is over axis {other}, the reference's over axis {axis}"
        edit = replace_by(lambda x, other=other: x.softmax(other))
        yield Hypothesis("axis of softmax", text, f"axis={axis}", {step.number: edit})
    yield Hypothesis("softmax missing", "softmax is left out", "apply softmax", {step.number: leave_out()})
    sigmoid = replace_by(torch.sigmoid)
    yield Hypothesis(
        "sigmoid for softmax", "sigmoid stands where the reference has softmax", "use softmax", {step.number: sigmoid}
    )
    for scale, name in {scale: name for name, scale in reversed(list(_scales(asked)))}.items():
        text = f"the energies are multiplied by {name} before softmax"
        yield Hypothesis(
            "energies scaled",
            text,
            "leave the energies as the reference has them",
            {step.number: precede_by(lambda x, scale=scale: x * scale)},
        )
    for name in CASTS[:2]:
        text = f"the energies pass through {name}"
        cast = precede_by(lambda x, name=name: x.to(getattr(torch, name)).to(x.dtype))
        yield Hypothesis("half precision inside", text, "keep the precision", {step.number: cast})
    if _is_square(energies) and axis == energies.ndim - 1:
        causal = precede_by(lambda x: x.masked_fill(torch.ones(x.shape[-2:], dtype=torch.bool).triu(1), -math.inf))
        text = "a causal mask is applied, which the reference has not"
        yield Hypothesis("mask added", text, "leave the mask out", {step.number: causal})
    yield from _by_parts(step, asked, axis)


def _axis(step: Step, count: int) -> int:
    bound = step.bind()
    axis = bound.get("dim")
    return (axis if isinstance(axis, int) else 1) % count


def scales(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Energies scaled by the root of another width."""
    places = [place for place, value in enumerate(step.args) if type(value) is float]
    if len(places) != 1 or len(step.tensors) != 1 or not any(one.name in SOFTMAXES for one in asked.replay.relevant):
        return
    own = step.args[places[0]]
    for width in _widths(asked):
        for said, value in ((f"{width}^-0.5", width**-0.5), (f"{width}^0.5", width**0.5), (f"1/{width}", 1 / width)):
            if abs(value - own) > 1e-9:
                text = f"the scale is {said}, the reference's is {own:g}"
                edits = {step.number: _with_argument(places[0], partial(_instead, value=value))}
                yield Hypothesis("energies scaled", text, f"scale by {own:g}", edits)


def _widths(asked: Asked) -> dict[int, None]:
    """The widths that matrices of the unit are summed over, as a transformer divides by their roots."""
    widths: dict[int, None] = {}
    for step in asked.replay.steps:
        if step.name in ("bmm", "matmul", "einsum", CALL, "view", "reshape") and step.tensors:
            for tensor in step.tensors[:1] + step.outputs[:1]:
                widths.update(dict.fromkeys(int(size) for size in tensor.shape[1:] if size > 1))
    return widths


def _scales(asked: Asked) -> Iterator[tuple[str, float]]:
    """What energies may be multiplied by, as a transformer's are."""
    widths = _widths(asked)
    for width in widths:
        yield f"{width}^-0.5", width**-0.5
        yield f"{width}^0.5", width**0.5
    for one, other in combinations(widths, 2):
        yield f"({one}/{other})^0.5", (one / other) ** 0.5
        yield f"({other}/{one})^0.5", (other / one) ** 0.5


def _by_parts(step: Step, asked: Asked, axis: int) -> Iterator[Hypothesis]:
    """Where what is normalised was joined of parts, as the branches of criss-cross attention are."""
    source = step.sources[0] if step.sources else None
    if source is None or asked.replay.steps[source].name != "cat":
        return
    parts = asked.replay.steps[source].tensors
    sizes = [part.shape[axis] for part in parts]
    if sum(sizes) != step.tensors[0].shape[axis]:
        return
    split = replace_by(lambda x: torch.cat([part.softmax(axis) for part in x.split(sizes, axis)], axis))
    text = "each branch is normalised on its own, the reference's softmax is over both together"
    yield Hypothesis("softmax by branch", text, "concatenate the branches, then softmax", {step.number: split})
    for number, part in enumerate(parts):
        if part.shape[-1] == part.shape[-2]:

            def masked(one: Step, args: Any, kwargs: Any, number: int = number) -> Any:
                branches = list(args[0].split(sizes, axis))
                size = branches[number].shape[-1]
                branches[number] = branches[number].masked_fill(torch.eye(size, dtype=torch.bool), -math.inf)
                return one.function(torch.cat(branches, axis), *args[1:], **kwargs)

            text = f"branch {number + 1} is masked on its diagonal too, so that no pixel attends to itself"
            yield Hypothesis("mask on both branches", text, "mask one branch only", {step.number: masked})
    yield from _parts_left_out(step, asked, sizes, axis)


def _parts_left_out(step: Step, asked: Asked, sizes: list[int], axis: int) -> Iterator[Hypothesis]:
    for number in range(len(sizes)):

        def without(weights: Tensor, number: int = number) -> Tensor:
            parts = list(weights.split(sizes, axis))
            parts[number] = torch.zeros_like(parts[number])
            return torch.cat(parts, axis)

        text = f"branch {number + 1} of the attention is not gathered"
        yield Hypothesis("branch missing", text, "add both branches", {step.number: follow_by(without)})
