"""Gates "optimiser", "learning rate" and "regularisation": updates of the real parameters, step by step.

Gradients are given, not computed: the loss is the sum of each parameter times a fixed array.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from converter.names import count
from parity.certify.causes.engine import Asked, explain
from parity.certify.causes.readings import explain_settings
from parity.certify.causes.schedules import propose_schedules
from parity.certify.causes.updates import propose_decays, propose_updates
from parity.certify.gate import Check, Evidence
from parity.certify.limits import EXACT, EXACT_REASON, RATE, RATE_REASON, UPDATE, UPDATE_REASON
from parity.certify.measure import greatest, sample, worst
from parity.certify.sides import Side
from parity.certify.state import load_values
from parity.certify.subject import Subject
from parity.verdicts.found import Found

Array = np.ndarray[Any, Any]

STEPS = 3


def optimiser(subject: Subject) -> Evidence:
    """Updates from gradients that change at each step and are to be forgotten after it.

    All parameters are zero before each step, so that decay has no part in it.
    """
    compared = _compare(subject, "update", decay=False)
    return Evidence(checks=compared.checks, explain=lambda: _explain(subject, compared, decay=False))


def regularisation(subject: Subject) -> Evidence:
    """Updates by decay alone, all gradients being zero: which parameters shrink, and by how much."""
    reference, port = subject.torch(layers=False), subject.paddle(layers=False)
    compared = _compare(subject, "decay", decay=True)
    checks, decayed = compared.checks, compared.changed
    odd = sorted(decayed[0] ^ decayed[1])
    check = Check(
        name="parameters that only one side decays",
        measured=len(odd),
        limit=EXACT,
        reason=EXACT_REASON,
        detail=f"first {odd[0]}" if odd else "",
    )
    scales = {name for name, tensor in reference.parameters.items() if name.endswith("weight") and tensor.ndim == 1}
    kinds = {"biases": {n for n in reference.parameters if n.endswith("bias")}, "scales of norms": scales}
    remarks = [f"{what} decay: {bool(names & decayed[0])}" for what, names in kinds.items()]
    folded = {**reference.folded, **port.folded}
    if folded:
        remarks.append(
            f"{count(len(folded), 'scale', ' is', ' are')} |weight| + {max(folded.values()):.0e} on one side: rules "
            "are compared on equal values; in training that epsilon decays too, and a negative weight's gradient has "
            "the other sign"
        )
    return Evidence(checks=[check, *checks], remarks=remarks, explain=lambda: _explain(subject, compared, decay=True))


def learning_rate(subject: Subject) -> Evidence:
    """The rate of every step of the recipe, and of one beyond its end."""
    recipe = subject.recipe
    expected, actual = (
        _rates(side, recipe.steps) for side in (subject.torch(layers=False), subject.paddle(layers=False))
    )
    distances = np.abs(actual - expected) / recipe.base_rate
    places = {"the first step": 0, "the step beyond the end": recipe.steps, "a step": int(np.argmax(distances))}
    checks = [
        Check(
            name=f"rate of {name}",
            measured=float(distances[step]),
            limit=RATE,
            reason=RATE_REASON,
            detail=f"step {step}: the port's {actual[step]:.12g}, the reference's {expected[step]:.12g}",
        )
        for name, step in places.items()
    ]
    asked = Asked("rates", {"rates": actual}, {"rates": expected}, RATE)
    length = _length(subject)
    given = subject.reference_kit["schedule"].run is not None or subject.reference_kit["optimiser"].run is not None
    return Evidence(
        checks=[*length, *checks],
        remarks=[f"{recipe.steps} steps from {recipe.base_rate:g} to {expected[-1]:.3g}"],
        explain=lambda: (
            explain_settings(length) if given or all(checks) else explain([asked], propose_schedules(asked, recipe))
        ),
    )


def _length(subject: Subject) -> list[Check]:
    """Of a config, which says how long it trains; a schedule's function does not."""
    steps, own = subject.recipe.steps, subject.port_kit["schedule"].facts.get("iterations")
    if own is None:
        return []
    detail, reason = f"the port's {own}, the reference's {steps}", "the schedule is as long as the training"
    return [Check(name="iterations", measured=abs(own - steps), limit=EXACT, reason=reason, detail=detail)]


def _rates(side: Side, steps: int) -> Array:
    trainer = side.make_trainer(None)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch misses the optimiser's steps, which no rate depends on
        for _ in range(steps + 1):
            found.append(trainer.rate)
            trainer.schedule.step()
    return np.array(found)


@dataclass
class _Compared:
    """Checks of both sides' updates step by step, and the names of the parameters that the last one changed on each.

    `steps` are samples of the updates, (reference, port), and `start` those of the parameters as they began.
    """

    start: dict[str, Array]
    checks: list[Check] = field(default_factory=list)
    changed: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    steps: list[tuple[dict[str, Array], dict[str, Array]]] = field(default_factory=list)


def _compare(subject: Subject, what: str, *, decay: bool) -> _Compared:
    port, reference = subject.paddle(layers=False), subject.torch(layers=False)
    load_values(reference, port.values())
    found = _Compared(sample({name: reference.array(one) for name, one in reference.parameters.items()}))
    expected_steps, actual_steps = (_updates(subject, side, decay=decay) for side in (reference, port))
    for step, (expected, actual) in enumerate(zip(expected_steps, actual_steps, strict=True), 1):
        scales = greatest(expected)
        distance, where = worst(actual, expected, scales)
        detail = f"{where}{_share(actual, expected, where)}"
        found.checks.append(
            Check(name=f"{what}, step {step}", measured=distance, limit=UPDATE, reason=UPDATE_REASON, detail=detail)
        )
        found.changed = {n for n, v in scales.items() if v}, {n for n, v in greatest(actual).items() if v}
        found.steps.append((sample(expected), sample(actual)))
    return found


def _explain(subject: Subject, compared: _Compared, *, decay: bool) -> Found:
    """Why updates are others: what another rule makes of the same gradients, where the reference's is the recipe's."""
    if subject.reference_kit["optimiser"].run is not None:
        return Found()
    asked = [
        Asked(step, own, expected, UPDATE, f"step {step + 1}") for step, (expected, own) in enumerate(compared.steps)
    ]
    if decay:
        return explain(asked, propose_decays(asked, compared.start, subject.recipe))
    gradients = [_gradients(subject, compared.start, step, 1.0) for step in range(STEPS)]
    return explain(asked, propose_updates(asked, gradients, subject.recipe))


def _share(actual: Mapping[str, Array], expected: Mapping[str, Array], name: str) -> str:
    """How large the port's change of the parameter is, where it is of the reference's form."""
    if name not in actual or name not in expected or not np.abs(expected[name]).max():
        return ""
    own, wanted = actual[name].ravel(), expected[name].ravel()
    share = float(own @ wanted / (wanted @ wanted))
    return f", {share:.6g} times the reference's"


def _updates(subject: Subject, side: Side, *, decay: bool) -> Iterator[dict[str, Array]]:
    """What each step adds to each parameter (name -> array): by decay alone, or by given gradients alone."""
    parameters = side.parameters
    like = {name: side.array(parameter) for name, parameter in parameters.items()}

    def criterion(gradients: Mapping[str, Any], labels: None) -> Any:
        return sum((parameters[name] * gradients[name]).sum() for name in parameters)

    trainer = side.make_trainer(criterion, hold=subject.recipe.base_rate)
    trainer.model = lambda gradients: gradients
    for step in range(STEPS):
        if not decay:
            load_values(side, {name: np.zeros_like(array) for name, array in side.values().items()})
        before = {name: side.array(parameter) for name, parameter in parameters.items()}
        gradients = _gradients(subject, like, step, 0.0 if decay else 1.0)
        trainer.step({name: side.tensor(array) for name, array in gradients.items()}, None)
        yield {name: side.array(parameters[name]) - value for name, value in before.items()}


def _gradients(subject: Subject, like: Mapping[str, Array], step: int, scale: float) -> dict[str, Array]:
    """Gradients of the parameters' own magnitude: of each by its name, whichever others there are."""

    def share(name: str) -> float:
        return 1.0 + float(np.random.default_rng([subject.seed, 6, step, crc32(name.encode())]).random())

    return {name: scale * share(name) * (array + 1e-3) for name, array in like.items()}
