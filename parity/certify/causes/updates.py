"""Mistakes in an optimiser: what another rule makes of the gradients that the gate gives.

The reference's velocity is `v = momentum * v + g`, its update `-rate * v`. Where gradients are zero, parameters shrink
by decay alone: there `g` is `decay * w`. Numbers are read off the port's first updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from parity.certify.causes.engine import Array, Asked, Hypothesis, Numbers
from parity.certify.measure import greatest
from recipe.recipe import Recipe

Steps = Sequence[Numbers]
Named = Callable[[str], bool]
"""Of which parameters it is true, by name."""
DIGITS = 4
"""Of a number that is read off: what float32 holds for sure."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a step is made of a gradient: `momentum`, `dampening`, Nesterov's look ahead, gradients that add up, decay.

    `factor` is that of the whole update.
    """

    momentum: float
    decay: float
    rate: float
    dampening: float = 0.0
    nesterov: bool = False
    accumulates: bool = False
    factor: float = 1.0


def follow(rule: Rule, gradients: Sequence[Array], start: Array | None = None) -> list[Array]:
    """The update of each step. With `start`, the parameter's value, it decays; else it is zero before each step."""
    value, updates = start, list[Array]()
    velocity: Array | float = 0.0
    total: Array | float = 0.0
    for number, gradient in enumerate(gradients):
        total = gradient + (total if rule.accumulates else 0.0)
        own = total + (0.0 if value is None else rule.decay * value)
        velocity = rule.momentum * velocity + (own if not number else (1 - rule.dampening) * own)
        update = -rule.factor * rule.rate * (own + rule.momentum * velocity if rule.nesterov else velocity)
        value = None if value is None else value + update
        updates.append(np.asarray(update))
    return updates


def propose_updates(asked: Sequence[Asked], gradients: Steps, recipe: Recipe) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in the rule by which given `gradients` (of each step) change parameters that are zero."""
    own = Rule(momentum=recipe.momentum, decay=0.0, rate=recipe.base_rate)

    def hypothesis(name: str, text: str, fix: str, rule: Rule) -> Hypothesis:
        made: dict[str, list[Array]] = {}

        def repeat(step: int) -> Numbers:
            if not made:
                made.update({label: follow(rule, [one[label] for one in gradients]) for label in gradients[0]})
            return {label: steps[step] for label, steps in made.items()}

        return Hypothesis(name=name, text=text, fix=fix, repeat=repeat)

    plain = f"momentum={recipe.momentum:g}, no Nesterov, no dampening, gradients cleared at each step"
    yield iter(
        (
            hypothesis(
                "Nesterov",
                "the optimiser looks ahead (Nesterov), the reference's does not",
                "use_nesterov=False",
                replace(own, nesterov=True),
            ),
            hypothesis(
                "gradients not cleared",
                "gradients of earlier steps are added, the reference clears them at each step",
                "call clear_grad before each step",
                replace(own, accumulates=True),
            ),
            hypothesis(
                "dampening",
                f"velocity takes 1 - {own.momentum:g} of the gradient (dampening), the reference's takes all of it",
                plain,
                replace(own, dampening=own.momentum),
            ),
        )
    )
    momentum = _read_momentum(asked, gradients, own)
    if momentum is not None:
        says = f"momentum is {momentum:g}, the reference's {own.momentum:g}"
        complement = ": its complement" if np.isclose(momentum, 1 - own.momentum) else ""
        other = replace(own, momentum=momentum)
        yield iter([hypothesis("momentum", f"{says}{complement}", f"momentum={own.momentum:g}", other)])
    factor = _read_factor(asked[0])
    if factor is not None and factor != 1:
        text = f"each update is {factor:g} times the reference's: another rate, or a loss that is scaled"
        yield iter([hypothesis("rate", text, plain, replace(own, factor=factor))])
        ahead = replace(own, momentum=_rounded(factor - 1), nesterov=True)
        text = f"momentum is {ahead.momentum:g}, the reference's {own.momentum:g}, and it looks ahead (Nesterov)"
        yield iter([hypothesis("momentum and Nesterov", text, plain, ahead)])
    yield from _frozen(asked)


def _frozen(asked: Sequence[Asked]) -> Iterator[Iterator[Hypothesis]]:
    """That the port leaves parameters as they are: those that it moves in no step, or does not know."""
    names = [
        name
        for name, values in asked[0].expected.items()
        if values.any() and not any(name in one.actual and one.actual[name].any() for one in asked)
    ]
    if not names:
        return
    known = set().union(*(one.actual for one in asked))

    def repeat(step: int) -> Numbers:
        own = asked[step].expected
        kept = {name: array for name, array in own.items() if name in known}
        return {name: np.zeros_like(array) if name in names else array for name, array in kept.items()}

    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    yield iter(
        [
            Hypothesis(
                name="frozen parameters",
                text=f"{names[0]}{more}: the optimiser does not change it, the reference's does",
                fix="give the optimiser all parameters, each with stop_gradient=False",
                repeat=repeat,
            )
        ]
    )


def propose_decays(asked: Sequence[Asked], values: Numbers, recipe: Recipe) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in what decays, and by how much: `values` are the parameters before the first step."""
    own = Rule(momentum=recipe.momentum, decay=recipe.weight_decay, rate=recipe.base_rate)
    fix = f"weight_decay={own.decay:g} for every parameter, once; momentum={own.momentum:g}, no Nesterov"

    def hypothesis(name: str, text: str, rule: Rule, spared: Named = lambda name: False) -> Hypothesis:
        made: dict[str, list[Array]] = {}

        def repeat(step: int) -> Numbers:
            if not made:
                zeros = [np.zeros(()) for _ in asked]
                for label, value in values.items():
                    made[label] = follow(replace(rule, decay=0.0 if spared(label) else rule.decay), zeros, value)
            return {label: steps[step] for label, steps in made.items() if label in asked[step].expected}

        return Hypothesis(name=name, text=text, fix=fix, repeat=repeat)

    def is_bias(name: str) -> bool:
        return name.endswith("bias")

    is_norm = find_norms(values)
    groups: tuple[tuple[str, str, Named], ...] = (
        ("", "", lambda name: False),
        ("biases", "biases do not decay", is_bias),
        ("norms", "the parameters of norms do not decay", is_norm),
        ("norms' scales", "scales of norms do not decay", lambda name: is_norm(name) and not is_bias(name)),
        (
            "norms and biases",
            "biases and the parameters of norms do not decay",
            lambda name: is_bias(name) or is_norm(name),
        ),
        ("one dimension", "parameters of one dimension (biases, norms, γ) do not decay", lambda n: values[n].ndim < 2),
    )
    yield iter(
        [hypothesis("no decay", f"nothing decays, the reference's decay is {own.decay:g}", replace(own, decay=0.0))]
    )
    found = _read_decay(asked[0], values, own)
    if found is None:
        return
    number = "" if found == own.decay else _say_decay(found, own.decay)
    for pick in (lambda what: not what, lambda what: bool(what)):
        yield (
            hypothesis(
                _name_decay(what, number, found, own.decay),
                "; and ".join(part for part in (number, f"{said}, the reference's do" if said else "") if part),
                replace(own, decay=found),
                spared,
            )
            for what, said, spared in groups
            if pick(what) and (what or number)
        )
    rules = _read_rules(asked, values, replace(own, decay=found))
    yield (hypothesis(*_say_rule(rule, own), rule) for rule in rules if rule != own)


def _read_rules(asked: Sequence[Asked], values: Numbers, own: Rule) -> Iterator[Rule]:
    """The rules of another momentum and of Nesterov's by which parameters decay as the port's do at first."""
    yield replace(own, nesterov=True, decay=_rounded(own.decay / (1 + own.momentum)))
    name = max(
        (label for label in asked[0].actual if label in values), key=lambda label: greatest(asked[0].actual)[label]
    )
    if len(asked) < 2 or name not in asked[1].actual:
        return
    before, update = values[name], asked[0].actual[name]
    rest = -asked[1].actual[name] / own.rate - own.decay * (before + update)
    kept = own.decay * before
    momentum = float((rest * kept).sum() / (kept * kept).sum())
    if np.isfinite(momentum):
        yield replace(own, momentum=_rounded(momentum))


def _say_rule(rule: Rule, own: Rule) -> tuple[str, str]:
    """Name and sentence of a rule that decays and has another momentum."""
    odd = {"decay": _say_decay(rule.decay, own.decay)} if rule.decay != own.decay else {}
    if rule.nesterov:
        odd["Nesterov"] = "the optimiser looks ahead (Nesterov), the reference's does not"
    else:
        odd["momentum"] = f"momentum is {rule.momentum:g}, the reference's {own.momentum:g}"
    return " and ".join(odd), "; and ".join(odd.values())


def _name_decay(what: str, number: str, found: float, own: float) -> str:
    name = "decay twice" if np.isclose(found, 2 * own) else "decay"
    spared = f"{what} spared" if what else ""
    return " and ".join(part for part in (name if number else "", spared) if part)


def _say_decay(found: float, own: float) -> str:
    twice = ": applied twice" if np.isclose(found, 2 * own) else ""
    return f"decay is {found:g}, the reference's is {own:g}{twice}"


def find_norms(values: Numbers) -> Named:
    """Whether a name is of a layer whose weight has one dimension: a norm."""
    flat = {name.rpartition(".")[0] for name, value in values.items() if name.endswith("weight") and value.ndim == 1}
    return lambda name: name.rpartition(".")[0] in flat


def _read_decay(first: Asked, values: Numbers, own: Rule) -> float | None:
    """The decay of the greatest share: of the parameter that shrinks the most."""
    shares = {
        name: float(-(update * values[name]).sum() / (values[name] ** 2).sum() / own.rate)
        for name, update in first.actual.items()
        if name in values and values[name].any()
    }
    greatest_share = max(shares.values(), default=0.0)
    return _rounded(greatest_share) if np.isfinite(greatest_share) and greatest_share > 0 else None


def _read_momentum(asked: Sequence[Asked], gradients: Steps, own: Rule) -> float | None:
    """From the second update: what is left of the first beside the new gradient."""
    name = max(gradients[0], key=lambda label: greatest(gradients[0])[label])
    if len(asked) < 2 or any(name not in one.actual for one in asked[:2]):
        return None
    before = gradients[0][name]
    rest = -asked[1].actual[name] / own.rate - gradients[1][name]
    found = float((rest * before).sum() / (before * before).sum())
    return _rounded(found) if np.isfinite(found) and abs(found) < 2 else None


def _read_factor(first: Asked) -> float | None:
    ratios = [
        float((values * first.expected[name]).sum() / (first.expected[name] ** 2).sum())
        for name, values in first.actual.items()
        if name in first.expected and first.expected[name].any()
    ]
    return _rounded(float(np.median(ratios))) if ratios else None


def _rounded(value: float) -> float:
    return float(f"{round(value, 12):.{DIGITS}g}")
