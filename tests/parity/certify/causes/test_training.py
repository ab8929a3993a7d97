"""Training steps that differ where each part was given to be tried alone, each with its cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models_paddle import paddle
from parity.certify.gates import training
from parity.certify.paddle_side import PaddleSide
from tests.parity.certify.cases import make_subject

Edit = Callable[[PaddleSide], None]


def of_trainer(change: Callable[[Any, Any], None]) -> Edit:
    """Edit every trainer, and its model, as it is made."""

    def edit(side: PaddleSide) -> None:
        make = side.make_trainer

        def made(criterion: Any, **rates: Any) -> Any:
            trainer = make(criterion, **rates)
            change(trainer, side.model)
            return trainer

        side.make_trainer = made  # type: ignore[method-assign]

    return edit


def replaced(**settings: Any) -> Callable[[Any, Any], None]:
    """Another optimiser of the same schedule."""

    def change(trainer: Any, model: Any) -> None:
        own: dict[str, Any] = {"momentum": 0.9, "weight_decay": 1e-4, **settings}
        trainer.optimiser = paddle.optimizer.Momentum(trainer.schedule, parameters=model.parameters(), **own)

    return change


def _resized(logits: Any, labels: Any) -> Any:
    return paddle.nn.functional.interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=True)


CASES: dict[str, tuple[Callable[[Any, Any], None], str | None]] = {
    "looks ahead": (replaced(use_nesterov=True), "Nesterov"),
    "no decay": (replaced(weight_decay=None), "no decay"),
    "slow": (replaced(momentum=0.1), "momentum"),
    "clipped": (replaced(grad_clip=paddle.nn.ClipGradByGlobalNorm(0.01)), None),
}


@pytest.mark.parametrize("which", CASES)
def test_the_cause_of_another_step(which: str, tmp_path: Path) -> None:
    change, name = CASES[which]
    subject = make_subject(tmp_path, edit=of_trainer(change), size=(33, 49), steps=2)
    steps = training._isolated(subject, list(training._batches(subject)))
    found = training._explain(subject, steps, next(training._batches(subject)))
    assert (found.cause and found.cause.name) == name, found.facts
    assert found.tried


def weighed(by: float) -> Edit:
    def edit(side: PaddleSide) -> None:
        make = side.criterion

        def criterion(mining: Any = None) -> Any:
            own = make(mining)
            forward = own.forward
            own.forward = lambda outputs, labels: (
                forward(outputs, labels) + (by - 0.4) * own.mean_loss(_resized(outputs[1], labels), labels)
            )
            return own

        side.criterion = criterion  # type: ignore[method-assign]

    return edit


def test_the_cause_of_another_loss(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, edit=weighed(0.3), size=(33, 49), steps=2)
    evidence = training.run(subject)
    assert not all(evidence.checks)
    cause = evidence.explain().cause
    assert cause is not None
    assert cause.text == "the auxiliary loss weighs 0.3, the reference's 0.4"
