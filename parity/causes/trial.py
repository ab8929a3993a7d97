"""Trying a hypothesis: what the reference's unit gives under it, and how far the port's output is from that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from parity.causes.hypotheses import Asked, Hypothesis
from parity.verdicts.comparison import Comparison, compare

NEARER = 1e-3
"""Of the difference as it is: a hypothesis that leaves more explains nothing, however small it is."""


def measure_left(asked: Asked, hypothesis: Hypothesis) -> float | None:
    """The difference that the hypothesis leaves, over the RMS; None if it does not repeat the port's output."""
    try:
        comparison = compare_made(asked.compared, make(asked, hypothesis))
    except Exception:  # noqa: BLE001 - what a unit says of an edit that does not fit it
        return None
    if not comparison or comparison.relative > NEARER * distance(asked):
        return None
    return comparison.relative


def make(asked: Asked, hypothesis: Hypothesis) -> Tensor:
    """What the reference's unit gives under a hypothesis."""
    with _set(hypothesis), torch.no_grad():
        made = (
            asked.replay.run(
                hypothesis.edits,
                hypothesis.change,
                hypothesis.other,
                changes_unit=bool(hypothesis.tensors or hypothesis.attributes),
            )
            if hypothesis.edits or hypothesis.change or hypothesis.other or hypothesis.tensors or hypothesis.attributes
            else asked.replay.baseline
        )
        result = made[asked.number]
        result = result if hypothesis.result is None else hypothesis.result(result)
        return (result if asked.finish is None else asked.finish(result)).contiguous()


def distance(asked: Asked) -> float:
    """How far the port is from the reference as it is."""
    expected = asked.expected if asked.finish is None else asked.finish(asked.expected)
    return compare_made(asked.compared, expected).relative


def compare_made(actual: Tensor, made: Tensor) -> Comparison:
    """As layers are compared; what is not finite must be so in both, in the same places."""
    if actual.is_floating_point() and actual.shape == made.shape and not bool(torch.isfinite(actual).all()):
        same = (actual == made) | (actual.isnan() & made.isnan())
        actual, made = (torch.where(same & ~torch.isfinite(actual), 0.0, one) for one in (actual, made))
    return compare(actual, made, constant=True)


@contextmanager
def _set(hypothesis: Hypothesis) -> Iterator[None]:
    """Within, the reference's parameters are the hypothesis's."""
    before = [(parameter, parameter.detach().clone()) for parameter, _ in hypothesis.tensors]
    own = [(module, name, getattr(module, name)) for module, name, _ in hypothesis.attributes]
    try:
        for module, name, number in hypothesis.attributes:
            setattr(module, name, number)
        with torch.no_grad():
            for parameter, value in hypothesis.tensors:
                parameter.copy_(value)
        yield
    finally:
        for module, name, number in own:
            setattr(module, name, number)
        with torch.no_grad():
            for parameter, value in before:
                parameter.copy_(value)
