"""Gate "loss": both criteria on the same logits, with their gradients, in the cases where ports go wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.certify.gate import Check, Evidence
from parity.certify.limits import LOSS, LOSS_REASON
from parity.certify.measure import greatest, relative, worst
from parity.certify.sides import Side
from parity.certify.subject import Subject
from recipe.ohem import Mining

Array = np.ndarray[Any, Any]

SIZE, COARSE = (97, 129), (13, 17)
MININGS = {
    "cross-entropy": None,
    "OHEM by rank": Mining(threshold=1e-6, min_kept=9600),
    "OHEM by threshold": Mining(threshold=0.4, min_kept=640),
    "OHEM keeping all": Mining(threshold=0.01, min_kept=10**6),
}


def run(subject: Subject) -> Evidence:
    """Every criterion on ordinary logits, on logits that are all equal, and on almost unlabelled pixels."""
    sides = subject.torch(), subject.paddle()
    checks = []
    for criterion, mining in MININGS.items():
        for case, (outputs, labels) in _cases(subject).items():
            (loss, gradients), (other, others) = (_measure(side, mining, outputs, labels) for side in sides)
            scale = max(greatest(gradients).values())
            distance, where = worst(others, gradients, dict.fromkeys(gradients, scale))
            name = f"{criterion}, {case}"
            checks += [
                _check(name, relative(other, loss), f"{other:.15g}, torch has {loss:.15g}"),
                _check(f"gradient of {name}", distance, where),
            ]
    return Evidence(checks=checks)


def _cases(subject: Subject) -> dict[str, tuple[tuple[Array, Array], Array]]:
    rng = np.random.default_rng([subject.seed, 5])
    classes = subject.weights.plan.num_classes
    logits = tuple(2 * rng.standard_normal((2, classes, *COARSE)) for _ in range(2))
    equal = tuple(np.zeros((2, classes, *COARSE)) for _ in range(2))
    labels = rng.integers(0, classes, (2, *SIZE))
    labels[rng.random(labels.shape) < 0.1] = 255
    few = np.where(rng.random(labels.shape) < 0.01, labels, 255)
    few[0, 0, 0] = 0
    return {"random logits": (logits, labels), "equal logits": (equal, labels), "few labels": (logits, few)}  # type: ignore[dict-item]


def _measure(
    side: Side, mining: Mining | None, outputs: tuple[Array, Array], labels: Array
) -> tuple[float, dict[str, Array]]:
    tensors = {name: side.tensor(array) for name, array in zip(("logits", "auxiliary"), outputs, strict=True)}
    for tensor in tensors.values():
        side.require_gradient(tensor)
    loss = side.criterion(mining)(tuple(tensors.values()), side.tensor(labels))
    loss.backward()
    gradients = {name: side.array(tensor.grad) for name, tensor in tensors.items() if tensor.grad is not None}
    return float(loss.detach()), gradients


def _check(name: str, measured: float, detail: str) -> Check:
    return Check(name=name, measured=measured, limit=LOSS, reason=LOSS_REASON, detail=detail)
