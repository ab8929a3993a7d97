"""Gates "optimiser", "learning rate" and "regularisation": updates of the real parameters, step by step.

Gradients are given, not computed: the loss is the sum of each parameter times a fixed array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.certify.gate import Check, Evidence
from parity.certify.limits import EXACT, EXACT_REASON, RATE, RATE_REASON, UPDATE, UPDATE_REASON
from parity.certify.measure import greatest, worst
from parity.certify.sides import Side
from parity.certify.state import load_state
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
    checks, decayed = _compare(subject, "decay", decay=True)
    odd = sorted(decayed[0] ^ decayed[1])
    check = Check(
        name="parameters that only one side decays",
        measured=len(odd),
        limit=EXACT,
        reason=EXACT_REASON,
        detail=f"first {odd[0]}" if odd else "",
    )
    kinds = {"biases": "bias", "BatchNorm": ".norm."}
    remarks = [f"{what} decay: {any(mark in n for n in decayed[0])}" for what, mark in kinds.items()]
    return Evidence(checks=[check, *checks], remarks=remarks)


def learning_rate(subject: Subject) -> Evidence:
    """The rate of every step of the recipe, and of one beyond its end."""
    recipe = subject.recipe
    rates = [_rates(side, recipe.steps) for side in (subject.torch(), subject.paddle())]
    distances = np.abs(rates[0] - rates[1]) / recipe.base_rate
    step = int(np.argmax(distances > RATE)) if (distances > RATE).any() else int(np.argmax(distances))
    detail = f"step {step}: the port's {rates[1][step]:.12g}, the reference's {rates[0][step]:.12g}"
    check = Check(name="rate", measured=float(distances[step]), limit=RATE, reason=RATE_REASON, detail=detail)
    return Evidence(checks=[check], remarks=[f"{recipe.steps} steps from {recipe.base_rate:g} to {rates[0][-1]:.3g}"])


def _rates(side: Side, steps: int) -> Array:
    trainer = side.make_trainer(None)
    found = []
    for _ in range(steps + 1):
        found.append(trainer.rate)
        trainer.schedule.step()
    return np.array(found)


def _compare(subject: Subject, what: str, *, decay: bool) -> tuple[list[Check], tuple[set[str], set[str]]]:
    """Both sides' updates step by step, and the names of the parameters that the last one changed on each."""
    port, reference = subject.paddle(), subject.torch()
    load_state(reference, port.state())
    expected_steps, actual_steps = (_updates(subject, side, decay=decay) for side in (reference, port))
    checks = []
    changed: tuple[set[str], set[str]] = set(), set()
    for step, (expected, actual) in enumerate(zip(expected_steps, actual_steps, strict=True), 1):
        scales = greatest(expected)
        distance, where = worst(actual, expected, scales)
        checks.append(
            Check(name=f"{what}, step {step}", measured=distance, limit=UPDATE, reason=UPDATE_REASON, detail=where)
        )
        changed = {n for n, v in scales.items() if v}, {n for n, v in greatest(actual).items() if v}
    return checks, changed


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
            load_state(side, {name: np.zeros_like(array) for name, array in side.state().items()})
        before = {name: side.array(parameter) for name, parameter in parameters.items()}
        trainer.step(_gradients(subject, side, like, step, 0.0 if decay else 1.0), None)
        yield {name: side.array(parameters[name]) - value for name, value in before.items()}


def _gradients(subject: Subject, side: Side, like: Mapping[str, Array], step: int, scale: float) -> dict[str, Any]:
    """Gradients of the parameters' own magnitude."""
    rng = np.random.default_rng([subject.seed, 6, step])
    shares = {name: 1.0 + rng.random() for name in sorted(like)}
    return {name: side.tensor(scale * shares[name] * (array + 1e-3)) for name, array in like.items()}
