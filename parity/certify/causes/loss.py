"""Mistakes in a loss: edits of the reference's criterion, and the weights of both heads, which are solved for.

An edit is of one step: how logits and labels are brought together ("size"), which labels count ("labels"), what is
made of logits ("logits"), the mean ("mean"), and which pixels are mined ("mining"). Two of different steps are tried
together where one alone repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from models_torch.losses import AUXILIARY_WEIGHT
from parity.certify.causes.criteria import Edit
from parity.certify.causes.engine import Array, Asked, Hypothesis, Numbers
from parity.certify.causes.mistakes import Mistake, list_minings, list_mistakes


class Measure(Protocol):
    """The reference's numbers of a case, its criterion edited: with `gradients` those of the logits, else the loss.

    `resized`: of logits that were brought to the labels' size before, which is cheaper.
    """

    def __call__(self, case: Any, edit: Edit, *, gradients: bool, resized: bool) -> Numbers: ...


PROPORTIONAL = 1e-5
"""Of the greatest gradient: what two that are a factor apart may differ by, float32 included."""
EQUAL = 1e-9
"""Of a weight: what is the reference's."""


def propose(asked: Sequence[Asked], bases: Mapping[str, tuple[Measure, bool]]) -> Iterator[Iterator[Hypothesis]]:
    """Levels of hypotheses: one mistake; one and other weights of the heads; two; other numbers in the mining.

    `bases` are the losses that the port's may be meant for, by what is said of each: how each is measured, and whether
    it mines. Where there are several, that one is the other is no mistake.
    """
    known = {"cross-entropy for OHEM", "OHEM for cross-entropy"} if len(bases) > 1 else set()

    def mistakes(mining: bool, *, usual: bool = False) -> list[Mistake]:
        return [one for one in list_mistakes(mining) if one.name not in known and (one.usual or not usual)]

    for said, (measure, mining) in bases.items():
        yield (_hypothesis(measure, mistake, said) for mistake in mistakes(mining))
        for usual in (None, *mistakes(mining, usual=True)):
            yield (_hypothesis(measure, mistake, said) for mistake in _weighted(asked, measure, usual))
    for said, (measure, mining) in bases.items():
        usual_ones = combinations(mistakes(mining, usual=True), 2)
        pairs = [_join(left, right) for left, right in usual_ones if left.step != right.step]
        yield (_hypothesis(measure, pair, said) for pair in pairs)
        if mining:
            yield (_hypothesis(measure, mistake, said) for mistake in list_minings())


def _hypothesis(measure: Measure, mistake: Mistake, said: str) -> Hypothesis:
    def repeat(key: tuple[Any, bool]) -> Numbers:
        case, gradients = key
        resized = not gradients and "size" not in mistake.step
        return measure(case, mistake.edit, gradients=gradients, resized=resized)

    return Hypothesis(name=mistake.name, text=mistake.text + said, fix=mistake.fix, repeat=repeat)


def _weighted(asked: Sequence[Asked], measure: Measure, mistake: Mistake | None) -> Iterator[Mistake]:
    """The weights of both heads, read off the gradients of the first case that has them, under `mistake`."""
    edit = (lambda criterion: None) if mistake is None else mistake.edit
    first = next(one for one in asked if one.key[1])
    made = measure(first.key[0], edit, gradients=True, resized=False)
    main, auxiliary = (_ratio(first.actual[name], made[name]) for name in ("logits", "auxiliary"))
    if main is None or auxiliary is None or not main or max(abs(main - 1), abs(auxiliary - 1)) < EQUAL:
        return
    main, weight = float(f"{main:.6g}"), float(f"{AUXILIARY_WEIGHT * auxiliary:.6g}")

    def weigh(criterion: Any) -> None:
        criterion.auxiliary_weight = weight / main
        forward = criterion.forward
        criterion.forward = lambda outputs, labels: main * forward(outputs, labels)

    weights = Mistake(step="weights", **_say(main, weight), edit=weigh)
    yield weights if mistake is None else _join(mistake, weights)


def _ratio(actual: Array, made: Array) -> float | None:
    """By which `made` is to be multiplied to be `actual`; None where no number does."""
    if actual.shape != made.shape or not made.any() or not np.isfinite(actual).all():
        return None
    ratio = float((actual * made).sum() / (made * made).sum())
    return (
        ratio if np.abs(actual - ratio * made).max() <= 1e-5 * max(np.abs(actual).max(), np.abs(made).max()) else None
    )


def _say(main: float, auxiliary: float) -> dict[str, Any]:
    """Name, sentence and fix of other weights of the heads."""
    ours = f"{AUXILIARY_WEIGHT:g}"
    if main == 1 and not auxiliary:
        return {
            "name": "auxiliary loss missing",
            "text": f"the auxiliary loss is missing, the reference adds {ours} times it",
            "fix": f"add {ours} times the cross-entropy of the auxiliary logits",
        }
    if main == 1:
        return {
            "name": "auxiliary weight",
            "text": f"the auxiliary loss weighs {auxiliary:g}, the reference's {ours}",
            "fix": f"weigh the auxiliary loss by {ours}",
        }
    if (main, auxiliary) == (AUXILIARY_WEIGHT, 1):
        return {
            "name": "weights swapped",
            "text": f"the main loss weighs {ours} and the auxiliary one 1: the weights are swapped",
            "fix": f"weigh the main loss by 1 and the auxiliary one by {ours}",
        }
    return {
        "name": "weights of the losses",
        "text": f"the main loss weighs {main:g} and the auxiliary one {auxiliary:g}, the reference's 1 and {ours}",
        "fix": f"weigh the main loss by 1 and the auxiliary one by {ours}",
    }


def _join(left: Mistake, right: Mistake) -> Mistake:
    def edit(criterion: Any) -> None:
        left.edit(criterion)
        right.edit(criterion)

    return Mistake(
        step=f"{left.step}, {right.step}",
        name=f"{left.name} and {right.name}",
        text=f"{left.text}; and {right.text}",
        fix=f"{left.fix}; {right.fix}",
        edit=edit,
    )
