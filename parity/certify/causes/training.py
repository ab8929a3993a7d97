"""Why a training step is another: the reference's first steps again, with another loss or by another rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models_torch.losses import AUXILIARY_WEIGHT
from parity.certify.causes.criteria import Edit
from parity.certify.causes.engine import Array, Asked, Hypothesis, Numbers, explain
from parity.certify.causes.mistakes import list_mistakes
from parity.certify.causes.statistics import propose_statistics
from parity.certify.causes.updates import Rule, find_norms
from parity.certify.limits import LOSS, STATISTIC, STEP
from parity.certify.measure import Distance, relative
from parity.certify.sides import STATISTICS
from parity.verdicts.found import Found
from recipe.recipe import Recipe

DIGITS = 6
"""Of a weight that is read off a loss."""
WEIGHTS = (0.0, AUXILIARY_WEIGHT)
"""Of the auxiliary loss: two of which the port's is read off the losses."""


@dataclass(frozen=True)
class Step:
    """A step of both sides from one state: samples of state, velocities and gradients, and the states after it.

    `losses` and `after` are (reference, port); `apart` is how far what a step changes and the running
    statistics are after it, and where.
    """

    rate: float
    before: Numbers
    velocities: Numbers
    gradients: Numbers
    losses: tuple[float, float]
    after: tuple[Numbers, Numbers]
    apart: Mapping[str, Distance]


Again = Callable[[Edit, bool], tuple[float, Numbers]]
"""The reference's first step, its criterion edited: the loss, and if asked for, the state after it."""


def explain_steps(steps: Sequence[Step], recipe: Recipe, mining: bool, again: Again) -> Found:
    """The cause of another loss of the first step; else of other statistics, or of other parameters, after steps."""
    first = steps[0]
    expected, actual = first.losses
    if relative(actual, expected) > LOSS:
        asked = [
            Asked("loss", {"loss": np.array(actual)}, {"loss": np.array(expected)}, LOSS),
            Asked("state", first.after[1], first.after[0], STEP, "state after step 1"),
        ]
        return explain(asked, _losses(actual, mining, again))
    before, ours, theirs = (_only(side, statistics=True) for side in (first.before, *first.after))
    found = explain([Asked("a step", theirs, ours, STATISTIC)], propose_statistics(before, ours, theirs))
    if found.tried:
        return found
    asked = []
    for number, step in enumerate(steps):
        ours, theirs = (_only(side, statistics=False) for side in step.after)
        asked.append(Asked(number, theirs, ours, STEP, f"step {number + 1}"))
    return explain(asked, _rules(steps, recipe))


def _only(state: Numbers, *, statistics: bool) -> dict[str, Array]:
    return {name: array for name, array in state.items() if name.endswith(STATISTICS) == statistics}


def _losses(actual: float, mining: bool, again: Again) -> Iterator[Iterator[Hypothesis]]:
    """Another criterion; another weight of the auxiliary loss, read off the loss."""

    def hypothesis(name: str, text: str, fix: str, edit: Edit) -> Hypothesis:
        def repeat(key: str) -> Numbers:
            loss, state = again(edit, key == "state")
            return state if key == "state" else {"loss": np.array(loss)}

        return Hypothesis(name=name, text=text, fix=fix, repeat=repeat)

    yield (hypothesis(one.name, one.text, one.fix, one.edit) for one in list_mistakes(mining))
    without, own = (again(_weighing(weight), False)[0] for weight in WEIGHTS)
    weight = float(f"{AUXILIARY_WEIGHT * (actual - without) / (own - without):.{DIGITS}g}")
    text = f"the auxiliary loss weighs {weight:g}, the reference's {AUXILIARY_WEIGHT:g}"
    fix = f"weigh the auxiliary loss by {AUXILIARY_WEIGHT:g}"
    yield iter([hypothesis("auxiliary weight", text, fix, _weighing(weight))])


def _weighing(weight: float) -> Edit:
    return lambda criterion: setattr(criterion, "auxiliary_weight", weight)


def _rules(steps: Sequence[Step], recipe: Recipe) -> Iterator[Iterator[Hypothesis]]:
    """Other rules, by which the same gradients change the same parameters from the same velocities."""
    own = Rule(momentum=recipe.momentum, decay=recipe.weight_decay, rate=recipe.base_rate)
    values = steps[0].before
    is_norm = find_norms(values)

    def hypothesis(
        name: str, text: str, fix: str, rule: Rule, spared: Callable[[str], bool] = lambda name: False
    ) -> Hypothesis:
        def repeat(number: int) -> Numbers:
            step, made = steps[number], {}
            for label, value in _only(step.before, statistics=False).items():
                gradients = [one.gradients[label] for one in steps[: number + 1]]
                gradient = np.sum(gradients, axis=0) if rule.accumulates else gradients[-1]
                chosen = replace(rule, rate=step.rate, decay=0.0 if spared(label) else rule.decay)
                velocity = step.velocities.get(label, np.zeros_like(value))
                made[label] = value + _update(chosen, value, gradient, velocity)
            return made

        return Hypothesis(name=name, text=text, fix=fix, repeat=repeat)

    plain = f"momentum={own.momentum:g}, weight_decay={own.decay:g} for every parameter, no Nesterov"
    other = 1 - own.momentum
    yield iter(
        [
            hypothesis("Nesterov", "the optimiser looks ahead (Nesterov)", plain, replace(own, nesterov=True)),
            hypothesis(
                "gradients not cleared",
                "gradients of earlier steps are added, the reference clears them at each step",
                "call clear_grad before each step",
                replace(own, accumulates=True),
            ),
            hypothesis(
                "momentum",
                f"momentum is {other:g}, the reference's {own.momentum:g}: its complement",
                plain,
                replace(own, momentum=other),
            ),
            hypothesis("momentum", "there is no momentum", plain, replace(own, momentum=0.0)),
            hypothesis("no decay", "nothing decays", plain, replace(own, decay=0.0)),
            hypothesis("decay twice", "decay is applied twice", plain, replace(own, decay=2 * own.decay)),
            hypothesis(
                "norms and biases spared",
                "biases and the parameters of norms do not decay, the reference's do",
                plain,
                own,
                lambda label: label.endswith("bias") or is_norm(label),
            ),
        ]
    )


def _update(rule: Rule, value: Array, gradient: Array, velocity: Array) -> Array:
    own = gradient + rule.decay * value
    velocity = rule.momentum * velocity + own
    return np.asarray(-rule.rate * (own + rule.momentum * velocity if rule.nesterov else velocity))
