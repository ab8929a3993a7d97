"""Hypotheses about layers that are called several times: how often, from where, and what is computed once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from parity.causes.hypotheses import Asked, Hypothesis, leave_out
from parity.causes.steps import CALL, VIEWS, Edit, Step, tensors_of
from twins.tensors import refill

MOST_REUSED = 48
"""Steps of a pass that are tried as the first pass's."""


def passes(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Fewer or more passes of a layer, or none that goes on from the one before."""
    calls = [one for one in asked.replay.steps if one.name == CALL and one.path == step.path]
    if len(calls) > 1 and calls[0].number == step.number:
        for number, tensor in enumerate(step.tensors):
            if [one.shape for one in step.outputs] == [tensor.shape]:
                yield from _passes(calls, number)


def _passes(calls: list[Step], number: int) -> Iterator[Hypothesis]:
    path = calls[0].path

    def unused(step: Step, args: Any, kwargs: Any) -> Any:
        step.function(*args, **kwargs)
        return leave_out(number)(step, args, kwargs)

    for count in range(len(calls)):
        edits: dict[int, Edit] = {call.number: leave_out(number) for call in calls[count:]}
        said = "not called" if count == 0 else f"called {_times(count)}"
        text = f"`{path}` is {said}, the reference calls it {_times(len(calls))}"
        yield Hypothesis("number of passes", text, f"call it {_times(len(calls))}", edits)
    for extra in (1, 2):

        def again(step: Step, args: Any, kwargs: Any, extra: int = extra) -> Any:
            output = step.function(*args, **kwargs)
            for _ in range(extra):
                output = step.function(output)
            return output

        text = f"`{path}` is called {_times(len(calls) + extra)}, the reference calls it {_times(len(calls))}"
        yield Hypothesis("number of passes", text, f"call it {_times(len(calls))}", {calls[-1].number: again})
    edits = {call.number: unused for call in calls[:-1]}
    text = f"every pass of `{path}` starts from the same tensor, not from the pass before"
    yield Hypothesis("passes do not recur", text, "hand each pass the result of the one before", edits)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def reused(asked: Asked, *, layers: bool) -> Iterator[Hypothesis]:
    """What a pass computes taken from the pass before, of the unit itself or of a layer inside.

    Of all `layers` together, or of one step after another.
    """
    relevant = {step.number for step in asked.replay.relevant}
    before = [] if asked.earlier is None else asked.earlier.steps
    if len(before) == len(asked.replay.steps):
        yield from _reused([list(zip(asked.replay.steps, before, strict=True))], relevant, layers=layers)
    calls: dict[str, list[Step]] = {}
    for step in asked.replay.steps:
        if step.name == CALL:
            calls.setdefault(step.path, []).append(step)
    for first, *others in calls.values():
        inside = [asked.replay.steps[one.number + 1 : one.end] for one in (first, *others)]
        if others and inside[0] and len({len(one) for one in inside}) == 1:
            later = [list(zip(one, inside[0], strict=True)) for one in inside[1:]]
            yield from _reused(later, relevant, layers=layers)


def _reused(passes: list[list[tuple[Step, Step]]], relevant: set[int], *, layers: bool) -> Iterator[Hypothesis]:
    """Of steps of later passes, each with its like in the pass before."""
    alike = [pairs for pairs in zip(*passes, strict=True) if all(_are_alike(*pair) for pair in pairs)]
    chosen = [pairs for pairs in alike if any(own.number in relevant for own, _ in pairs)]
    called = [pairs for pairs in chosen if pairs[0][0].name == CALL]
    if layers and len(called) > 1:
        said = ", ".join(f"`{pairs[0][0].path}`" for pairs in called)
        yield _as_before(called, f"{said} are not called again: what the first pass gave is used")
    if layers:
        return
    for pairs in [one for one in chosen if one[0][0].name not in VIEWS][:MOST_REUSED]:
        step = pairs[0][0]
        what = f"output of `{step.path}`" if step.name == CALL else f"result of {step.name}"
        yield _as_before([pairs], f"the {what} is that of the pass before")


def _are_alike(step: Step, other: Step) -> bool:
    same = step.name == other.name and [one.shape for one in step.outputs] == [one.shape for one in other.outputs]
    return same and bool(step.outputs)


def _as_before(passes: list[tuple[tuple[Step, Step], ...]], text: str) -> Hypothesis:
    edits = {step.number: _give(other.output) for pairs in passes for step, other in pairs}
    return Hypothesis("reused from the pass before", text, "compute it in every pass", edits)


def _give(output: Any) -> Edit:
    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        if step.name == CALL:
            step.function(*args, **kwargs)
        return refill(output, iter([one.clone() if isinstance(one, Tensor) else one for one in tensors_of(output)]))

    return edit
