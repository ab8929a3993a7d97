"""Hypotheses about how layers are joined: sums, products, concatenations, calls left out, repeated or exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np
from torch import Tensor

from parity.causes.activations import FUNCTIONS, SLOPES, apply_like, name_of
from parity.causes.attention import is_mask
from parity.causes.hypotheses import Asked, Hypothesis, follow_by, leave_out
from parity.causes.norms import EPSILONS
from parity.causes.steps import CALL, Edit, Step

MOST_JOINED = 4
"""Tensors of a concatenation that are tried in every order."""
MOST_TERMS = 24
SUMS = ("add", "sub", "__rsub__")
PRODUCTS = ("mul", "div")
OPERATIONS = ("add", "sub", "mul", "div")


def sums(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """A term left out, or subtracted; activated before it is added."""
    kept = _operands(step)
    for number in kept:
        if any(is_mask(tensor) for tensor in step.tensors):
            break  # a hypothesis about attention
        text = f"{_other(step, number)} is not {'subtracted' if 'sub' in step.name else 'added'}"
        yield Hypothesis("term missing", text, "give the sum all of its terms", {step.number: leave_out(number)})
    if len(step.tensors) == 1 and step.name == "add":
        (value,) = (one for one in step.args if isinstance(one, int | float))
        text = f"{value:g} is added twice to {step.label(0)}"
        twice = follow_by(lambda x: x + value)
        yield Hypothesis("constant twice", text, "add it once", {step.number: twice})
    yield from _constants(step)
    yield from _activated_before(step, asked)
    yield from _activated_after(step, asked)


def _others(step: Step, number: int, asked: Asked) -> Iterator[tuple[str, Tensor]]:
    """Tensors that are there before a step, of the shape of one of its own, by what they are."""
    own = step.tensors[number]
    known = [("its input", one) for one in asked.replay.tensors]
    known += [
        (asked.replay.labels.get(id(one.outputs[0]), "another"), one.outputs[0])
        for one in asked.replay.steps[: step.number]
        if one.name == CALL and one.end <= step.number and one.outputs
    ]
    for label, tensor in known[:MOST_TERMS]:
        if tensor.shape == own.shape and tensor is not own and tensor.is_floating_point():
            yield label, tensor


def other_terms(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Another tensor in the place of a term, as a residual that is taken after the norm."""
    for number in range(2) if step.name in ("matmul", "bmm") else _operands(step):
        for label, tensor in _others(step, number, asked):

            def exchanged(one: Step, args: Any, kwargs: Any, number: int = number, tensor: Tensor = tensor) -> Any:
                changed = list(args)
                changed[number] = tensor.clone()
                return one.function(*changed, **kwargs)

            place = {"matmul": "product", "bmm": "product", "mul": "product", "div": "quotient"}.get(step.name, "sum")
            text = f"{label} stands in the {place}, not {step.label(number)}"
            yield Hypothesis("another term", text, f"use {step.label(number)}", {step.number: exchanged})


def products(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """A factor left out, or applied twice."""
    for number in _operands(step):
        verb = "divided by" if "div" in step.name else "multiplied by"
        text = f"{step.label(number)} is not {verb} {_other(step, number)}"
        yield Hypothesis("factor missing", text, f"apply {_other(step, number)}", {step.number: leave_out(number)})
    if len(step.tensors) == 2 and step.name == "mul":
        for number in (0, 1):
            text = f"{step.label(number)} is applied twice"

            def twice(one: Step, args: Any, kwargs: Any, number: int = number) -> Any:
                return one.function(*args, **kwargs) * args[number]

            yield Hypothesis("factor twice", text, "apply it once", {step.number: twice})
    yield from _constants(step)


def _operands(step: Step) -> list[int]:
    """Its tensors that have the shape of the result."""
    shape = step.outputs[0].shape if step.outputs else None
    return [number for number, tensor in enumerate(step.tensors[:2]) if tensor.shape == shape]


def _other(step: Step, number: int) -> str:
    if len(step.tensors) > 1:
        return step.label(1 - number)
    return next((f"{value:g}" for value in step.args if isinstance(value, int | float)), "the constant")


def _constants(step: Step) -> Iterator[Hypothesis]:
    """By a constant per channel in the opposite order, as the mean of RGB for BGR."""
    for number, tensor in enumerate(step.tensors[:2]):
        axes = [axis for axis, size in enumerate(tensor.shape) if size > 1]
        if len(axes) == 1 and step.outputs and tensor.shape != step.outputs[0].shape and tensor.numel() <= 8:

            def reverse(one: Step, args: Any, kwargs: Any, number: int = number, axis: int = axes[0]) -> Any:
                changed = list(args)
                changed[number] = args[number].flip(axis)
                return one.function(*changed, **kwargs)

            text = f"{step.label(number)} is in the opposite order of channels"
            yield Hypothesis(
                "constants reversed", text, "give them in the order of the channels", {step.number: reverse}
            )


def _activated_before(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """relu(a) + b for relu(a + b)."""
    after = [one for one in asked.replay.steps if one.name in FUNCTIONS and step.number in one.sources]
    for one, number in ((one, number) for one in after for number in _operands(step)):
        kind, function = name_of(one), apply_like(one)

        def first(own: Step, args: Any, kwargs: Any, number: int = number, function: Any = function) -> Any:
            changed = list(args)
            changed[number] = function(args[number].clone())
            return own.function(*changed, **kwargs)

        text = f"{step.label(number)} goes through {kind} before the sum, and the sum does not"
        edits: dict[int, Edit] = {step.number: first, one.number: leave_out()}
        yield Hypothesis("activation before the sum", text, f"add first, {kind} after", edits)


def _activated_after(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """relu(a + b) for relu(a) + b."""
    for number, source in enumerate(step.sources):
        one = None if source is None else asked.replay.steps[source]
        if one is None or one.name not in FUNCTIONS or number >= len(step.tensors):
            continue
        kind = name_of(one)
        edits: dict[int, Edit] = {one.number: leave_out(), step.number: follow_by(apply_like(one))}
        text = f"the sum goes through {kind}, and {one.label(0)} does not before it"
        yield Hypothesis("activation after the sum", text, f"{kind} first, add after", edits)


def order_of_operations(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Of two that follow each other, such as a difference and a quotient, the second first."""
    source = step.sources[0] if step.sources else None
    first = None if source is None else asked.replay.steps[source]
    if first is None or first.name not in OPERATIONS or (first.name == "add" and step.name in ("add", "sub")):
        return
    if not all(_is_first_alone(one) for one in (first, step)):
        return
    names = {"add": "addition", "sub": "subtraction", "mul": "multiplication", "div": "division"}
    before, after = names[first.name], names[step.name]
    text = f"the {after} comes before the {before} of {_other(first, 0)}"
    edits = {first.number: _as_done_by(step), step.number: _as_done_by(first)}
    yield Hypothesis("order of operations", text, f"the {before} first", edits)


def _is_first_alone(step: Step) -> bool:
    """Whether its first argument is the tensor that it changes, of the shape of its result."""
    return isinstance(step.args[0], Tensor) and len(step.args) == 2 and step.args[0].shape == step.outputs[0].shape


def _as_done_by(other: Step) -> Edit:
    return lambda step, args, kwargs: other.function(args[0].clone(), *other.args[1:], **other.kwargs)


def concatenations(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Another order."""
    for order in _orders(len(step.tensors)):

        def joined(one: Step, args: Any, kwargs: Any, order: tuple[int, ...] = order) -> Any:
            return one.function([args[0][number] for number in order], *args[1:], **kwargs)

        said = ", ".join(step.label(number) for number in order)
        text = f"joined in another order: {said}"
        fix = f"concatenate {', '.join(step.labels[: len(order)])}"
        yield Hypothesis("order of concatenation", text, fix, {step.number: joined})


def _orders(count: int) -> Iterator[tuple[int, ...]]:
    """All others of a few; of many, backwards, one in another place, or two exchanged."""
    own = tuple(range(count))
    if count <= MOST_JOINED:
        yield from list(permutations(own))[1:]
        return
    moved = ((*left[:to], one, *left[to:]) for one in own for to in own if (left := (*own[:one], *own[one + 1 :])))
    exchanged = (
        tuple({one: other, other: one}.get(number, number) for number in own) for one, other in combinations(own, 2)
    )
    yield from (order for order in dict.fromkeys((own[::-1], *moved, *exchanged)) if order != own)


def attributes(asked: Asked) -> Iterator[Hypothesis]:
    """Numbers that the reference's own classes keep, as the port's layer may have them."""
    for path in dict.fromkeys(step.path for step in asked.replay.relevant if step.name != CALL):
        module = asked.replay.unit.get_submodule(path)
        if type(module).__module__.partition(".")[0] == "torch":
            continue
        for name, own in vars(module).items():
            if type(own) is not float or not 0 < own < 1:
                continue
            title = "epsilon" if name.startswith("eps") else "slope" if "slope" in name else name
            for value, is_own in asked.numbers(*EPSILONS) if title == "epsilon" else asked.numbers(*SLOPES):
                if abs(value - own) > 1e-6 * own:
                    text = f"{title} is {value:g}, the reference's is {own:g}"
                    changed = ((module, name, value),)
                    yield Hypothesis(title, text, f"{name}={own:g}", attributes=changed, is_read=is_own)
                    if title == "epsilon":  # which Paddle's kernel keeps as a float32, and the port's code does not
                        edits = {
                            step.number: step.altered(eps=float(np.float32(value)))
                            for step in asked.replay.relevant
                            if "norm" in step.name
                        }
                        yield Hypothesis(title, text, f"{name}={own:g}", edits, attributes=changed, is_read=is_own)


def calls(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """A layer left out, or called once more; its result unused."""
    assert step.name == CALL
    others = [one for one in asked.replay.steps if one.name == CALL and one.path == step.path]
    place = f"`{step.path}`" + (f" (pass {others.index(step) + 1})" if len(others) > 1 else "")
    for number, tensor in enumerate(step.tensors):
        if [one.shape for one in step.outputs] == [tensor.shape]:
            joined = len([one for one in step.tensors if one.shape == tensor.shape]) > 1
            name = "term missing" if joined else "layer left out"
            given = f", {step.label(number)} goes on" if joined else ""
            done = "is called elsewhere, not here" if asked.replay.is_held(step) else "is left out"
            yield Hypothesis(name, f"{place} {done}{given}", f"call {place}", {step.number: leave_out(number)})


def exchanged_calls(asked: Asked) -> Iterator[Hypothesis]:
    """What two layers give, each taken for the other's."""
    kept = {path for path, _ in asked.replay.memo}
    made = [one for one in asked.replay.relevant if one.name == CALL and one.path in kept and len(one.outputs) == 1]
    for left, right in combinations(made, 2):
        if left.path == right.path or left.outputs[0].shape != right.outputs[0].shape:
            continue
        text = f"the outputs of `{left.path}` and `{right.path}` are taken for each other"
        edits = {left.number: _give(asked, made, right), right.number: _give(asked, made, left)}
        yield Hypothesis("layers exchanged", text, "exchange them", edits)


def _give(asked: Asked, made: list[Step], other: Step) -> Edit:
    """An edit: what another call gave."""
    number = [step.number for step in made if step.path == other.path].index(other.number)
    output = asked.replay.memo[other.path, number]

    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        step.function(*args, **kwargs)
        return output.clone()

    return edit
