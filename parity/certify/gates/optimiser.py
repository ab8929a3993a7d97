"""Gates "optimiser", "learning rate" and "regularisation": updates of the real parameters, step by step.

Gradients are given, not computed: the loss is the sum of each parameter times a fixed array.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.certify.gate import Check, Evidence
from parity.certify.limits import EXACT, EXACT_REASON, RATE, RATE_REASON, UPDATE, UPDATE_REASON
from parity.certify.measure import greatest, worst
from parity.certify.sides import Side
from parity.certify.state import load_values
from parity.certify.subject import Subject

Array = np.ndarray[Any, Any]

STEPS = 3


def optimiser(subject: Subject) -> Evidence:
    """Updates from gradients that change at each step and are to be forgotten after it.

    All parameters are zero before each step, so that decay has no part in it.
    """
    return Evidence(checks=_compare(subject, "update", decay=False)[0])


def regularisation(subject: Subject) -> Evidence:
    """Updates by decay alone, all gradients being zero: which parameters shrink, and by how much."""
    reference, port = subject.torch(layers=False), subject.paddle(layers=False)
    checks, decayed = _compare(subject, "decay", decay=True)
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
            f"{len(folded)} scales are |weight| + {max(folded.values()):.0e} on one side: the rules are compared on "
            "equal values; in training that epsilon decays too, and a negative weight's gradient has the other sign"
        )
    return Evidence(checks=[check, *checks], remarks=remarks)


def learning_rate(subject: Subject) -> Evidence:
    """The rate of every step of the recipe, and of one beyond its end."""
    recipe = subject.recipe
    expected, actual = (
        _rates(side, recipe.steps) for side in (subject.torch(layers=False), subject.paddle(layers=False))
    )
    distances = np.abs(actual - expected) / recipe.base_rate
    places = {"the first step": 0, "the step beyond the end": recipe.steps, "a step": int(np.argmax(distances))}
    iterations = subject.port_kit["schedule"].facts.get("iterations", recipe.steps)
    length = Check(
        name="iterations",
        measured=abs(iterations - recipe.steps),
        limit=EXACT,
        reason="the schedule is as long as the training",
        detail=f"the port's {iterations}, the reference's {recipe.steps}",
    )
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
    return Evidence(
        checks=[length, *checks], remarks=[f"{recipe.steps} steps from {recipe.base_rate:g} to {expected[-1]:.3g}"]
    )


def _rates(side: Side, steps: int) -> Array:
    trainer = side.make_trainer(None)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch misses the optimiser's steps, which no rate depends on
        for _ in range(steps + 1):
            found.append(trainer.rate)
            trainer.schedule.step()
    return np.array(found)


def _compare(subject: Subject, what: str, *, decay: bool) -> tuple[list[Check], tuple[set[str], set[str]]]:
    """Both sides' updates step by step, and the names of the parameters that the last one changed on each."""
    port, reference = subject.paddle(layers=False), subject.torch(layers=False)
    load_values(reference, port.values())
    expected_steps, actual_steps = (_updates(subject, side, decay=decay) for side in (reference, port))
    checks = []
    changed: tuple[set[str], set[str]] = set(), set()
    for step, (expected, actual) in enumerate(zip(expected_steps, actual_steps, strict=True), 1):
        scales = greatest(expected)
        distance, where = worst(actual, expected, scales)
        detail = f"{where}{_share(actual, expected, where)}"
        checks.append(
            Check(name=f"{what}, step {step}", measured=distance, limit=UPDATE, reason=UPDATE_REASON, detail=detail)
        )
        changed = {n for n, v in scales.items() if v}, {n for n, v in greatest(actual).items() if v}
    return checks, changed


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
        trainer.step(_gradients(subject, side, like, step, 0.0 if decay else 1.0), None)
        yield {name: side.array(parameters[name]) - value for name, value in before.items()}


def _gradients(subject: Subject, side: Side, like: Mapping[str, Array], step: int, scale: float) -> dict[str, Any]:
    """Gradients of the parameters' own magnitude."""
    rng = np.random.default_rng([subject.seed, 6, step])
    shares = {name: 1.0 + rng.random() for name in sorted(like)}
    return {name: side.tensor(scale * shares[name] * (array + 1e-3)) for name, array in like.items()}
