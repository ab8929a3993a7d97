"""Hypotheses about which part is which: heads, parts of a split, picks, and results taken for each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import Any

from torch import Tensor

from parity.causes.attention import SOFTMAXES
from parity.causes.hypotheses import Asked, Hypothesis, follow_by, replace_by
from parity.causes.steps import Edit, Step

MOST_PARTS = 4
"""Parts of a split that are tried in every order."""
MOST_ALIKE = 6
"""Results of one function that are tried for each other."""
MOST_HEADS = 64
DIVIDING = ("view", "reshape", "unflatten")
PROJECTIONS = ("the query", "the key", "the value")
RESULTS = ("linear", "conv1d", "conv2d", "__getitem__", "select")
"""Functions whose results a porter may take for each other."""


def splits(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """The parts in another order."""
    count = len(step.outputs)
    if not 2 <= count <= MOST_PARTS or len({tensor.shape for tensor in step.outputs}) > 1:
        return
    for order in list(permutations(range(count)))[1:]:
        edit = follow_by(lambda parts, order=order: tuple(parts[number] for number in order))
        text = f"the parts of {step.label(0)} are taken in the order {', '.join(str(one + 1) for one in order)}"
        yield Hypothesis("order of parts", text, "take them in the order they stand in", {step.number: edit})


def picked(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Another of a row of things, or their mean, where one is picked by its number."""
    key = step.args[1] if len(step.args) > 1 else None
    keys = key if isinstance(key, tuple) else (key,)
    axes = [axis for axis, one in enumerate(keys) if type(one) is int]
    if len(axes) != 1 or any(one is Ellipsis or one is None for one in keys):
        return
    axis, what = axes[0], step.label(0)
    picks: dict[str, Any] = {
        "the first": lambda x: x.select(axis, 0),
        "the last": lambda x: x.select(axis, -1),
        "the mean": lambda x: x.mean(axis),
        "the maximum": lambda x: x.amax(axis),
        "the sum": lambda x: x.sum(axis),
    }
    for name, pick in picks.items():
        text = f"{name} of {what} along axis {axis} is taken, not number {keys[axis]}"
        yield Hypothesis("another pick", text, f"take number {keys[axis]}", {step.number: replace_by(pick)})


def exchanged_results(asked: Asked) -> Iterator[Hypothesis]:
    """What one function gives twice in the same code, each taken for the other: a query for a key."""
    groups: dict[Any, list[Step]] = {}
    for step in asked.replay.relevant:
        if step.name in RESULTS and len(step.outputs) == 1:
            source = step.sources[0] if step.name in ("__getitem__", "select") and step.sources else None
            groups.setdefault((step.name, step.path, step.outputs[0].shape, source), []).append(step)
    for steps in groups.values():
        names = _names(steps)
        for order in _orders(len(steps)):
            moved = [(steps[place], steps[own]) for place, own in enumerate(order) if place != own]
            edits = {place.number: _give(own.outputs[0]) for place, own in moved}
            text = ", ".join(f"{names[own.number]} is taken for {names[place.number]}" for place, own in moved)
            if len(moved) == 2:
                text = f"{names[moved[0][0].number]} and {names[moved[1][0].number]} are taken for each other"
            yield Hypothesis("results exchanged", text, "take each as it is", edits)


def _orders(count: int) -> Iterator[tuple[int, ...]]:
    """All orders of a few, and of more each in which two are exchanged, but for their own."""
    if count <= MOST_PARTS:
        yield from list(permutations(range(count)))[1:]
    for pair in combinations(range(min(count, MOST_ALIKE)), 2) if count > MOST_PARTS else ():
        yield tuple(pair[1 - pair.index(one)] if one in pair else one for one in range(count))


def _names(steps: list[Step]) -> dict[int, str]:
    """What each step gives, by its number; in order of execution where that is all that tells them apart."""
    said = {step.number: _said(step) for step in steps}
    packed = [number for number, one in said.items() if "in_proj_weight" in one]
    if len(packed) == len(PROJECTIONS):
        said |= dict(zip(packed, PROJECTIONS, strict=True))
    if len(set(said.values())) < len(steps):
        return {step.number: f"number {place + 1} of {_said(step)}" for place, step in enumerate(steps)}
    return said


def _said(step: Step) -> str:
    if step.name in ("__getitem__", "select"):
        key = step.args[1] if len(step.args) == 2 else step.args[1:]
        return f"{step.label(0)}[{_key(key)}]"
    return f"{step.name} by {step.label(1)}"


def _key(key: Any) -> str:
    if isinstance(key, tuple):
        return ", ".join(_key(one) for one in key)
    if isinstance(key, slice):
        return ":".join("" if one is None else str(one) for one in (key.start, key.stop))
    return "…" if key is Ellipsis else str(key)


def _give(tensor: Tensor) -> Edit:
    return lambda step, args, kwargs: tensor.clone()


def heads(asked: Asked) -> Iterator[Hypothesis]:
    """Another number of heads, wherever an axis is divided into as many; their scale with it, or as it is."""
    has_heads = any(step.name in SOFTMAXES for step in asked.replay.relevant)
    divided = [(step, axis) for step in asked.replay.relevant if (axis := _axis_of_heads(step)) is not None]
    for count, width in dict.fromkeys(tuple(step.outputs[0].shape[axis : axis + 2]) for step, axis in divided):
        own = [step for step, axis in divided if tuple(step.outputs[0].shape[axis : axis + 2]) == (count, width)]
        read = [value for name, value in asked.settings.items() if type(value) is int and "head" in name]
        whole = count * width
        others = [one for one in (*read, *range(1, MOST_HEADS + 1)) if one != count and one > 0 and whole % one == 0]
        for other, scaled in product(dict.fromkeys(others), (True, False)):
            edits: dict[int, Edit] = {step.number: _divide(count, other, whole // other) for step in own}
            if scaled:
                edits |= _scaled(asked, width, whole // other)
            what = "heads" if has_heads else "parts"
            text = f"the number of {what} is {other}, the reference's is {count}"
            if not has_heads:
                text = f"{own[0].label(0)} is divided into {other} parts, the reference's into {count}"
            yield Hypothesis(f"number of {what}", text, f"use {count} {what}", edits, is_read=other in read)


def _axis_of_heads(step: Step) -> int | None:
    """The axis of a step's result where heads stand, before their width: it has divided one axis into two or three."""
    if step.name not in DIVIDING or not step.outputs:
        return None
    before, after = step.tensors[0].shape, step.outputs[0].shape
    more = len(after) - len(before)
    if more not in (1, 2):
        return None
    axis = next((one for one, size in enumerate(before) if after[one] != size), len(before) - 1)
    heads = axis + more - 1
    is_divided = math.prod(after[axis : heads + 2]) == before[axis] and after[heads + 2 :] == before[axis + 1 :]
    return heads if is_divided and after[heads + 1] > 1 else None


def _divide(own: int, count: int, width: int) -> Edit:
    """An edit: divides into `count` heads where the step divides into its `own` number."""

    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        sizes = list(step.function(*args, **kwargs).shape)
        axis = _axis_of_heads(step)
        assert axis is not None
        assert sizes[axis] == own
        return args[0].reshape([*sizes[:axis], count, width, *sizes[axis + 2 :]])

    return edit


def _scaled(asked: Asked, width: int, other: int) -> dict[int, Edit]:
    """Where energies are scaled by the root of a head's width, that of the other one."""
    edits: dict[int, Edit] = {}
    for step in asked.replay.relevant:
        places = [place for place, value in enumerate(step.args) if type(value) is float]
        if step.name in ("mul", "div") and len(places) == 1 and len(step.tensors) == 1:
            place = places[0]
            for power in (0.5, -0.5):
                if abs(step.args[place] - width**power) <= 1e-9:
                    edits[step.number] = _with(place, other**power)
    return edits


def _with(place: int, value: float) -> Edit:
    return lambda step, args, kwargs: step.function(*args[:place], value, *args[place + 1 :], **kwargs)
