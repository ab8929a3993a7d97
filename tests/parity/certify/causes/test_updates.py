"""Optimisers of porters, each with its cause, its numbers read off the updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models_paddle import paddle
from tests.parity.certify.cases import make_subject, outcome_of


def lazy(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.85, parameters=parameters, weight_decay=1e-4)


def nesterov_by_half(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.5, parameters=parameters, use_nesterov=True, weight_decay=1e-4)


def fast_and_heavy(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters, use_nesterov=True, weight_decay=5e-4)


def without_the_last(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters[:-1], weight_decay=1e-4)


def adaptive(parameters: Any) -> Any:
    """Nothing that is known."""
    return paddle.optimizer.RMSProp(1e-2, parameters=parameters)


def of_the_other_framework(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters, weight_decay=4e-5)


def matrices_only(parameters: Any) -> Any:
    for parameter in parameters:
        if parameter.ndim == 1:
            parameter.regularizer = paddle.regularizer.L2Decay(0.0)
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters, weight_decay=5e-4)


def by_magnitude(parameters: Any) -> Any:
    """The absolute values decay, not the squares."""
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters, weight_decay=paddle.regularizer.L1Decay(1e-4))


@pytest.mark.parametrize(
    ("gate", "function", "name", "words"),
    [
        ("optimiser", "lazy", "momentum", "momentum is 0.85, the reference's 0.9"),
        ("optimiser", "nesterov_by_half", "momentum and Nesterov", "momentum is 0.5"),
        ("optimiser", "without_the_last", "frozen parameters", "does not change it"),
        ("optimiser", "adaptive", None, ""),
        ("regularisation", "of_the_other_framework", "decay", "decay is 4e-05, the reference's is 0.0001"),
        ("regularisation", "matrices_only", "decay and one dimension spared", "decay is 0.0005"),
        ("regularisation", "lazy", "momentum", "momentum is 0.85, the reference's 0.9"),
        ("regularisation", "fast_and_heavy", "decay and Nesterov", "decay is 0.0005"),
        ("regularisation", "by_magnitude", None, ""),
    ],
)
def test_the_cause_of_an_update(gate: str, function: str, name: str | None, words: str, tmp_path: Path) -> None:
    subject = make_subject(
        tmp_path, port="tests.parity.renamed_port:build", parts={"optimiser": f"{__name__}:{function}"}
    )
    outcome = outcome_of(gate, subject)
    assert outcome.verdict == "failed"
    assert (outcome.cause and outcome.cause.name) == name
    assert outcome.cause is None or words in outcome.cause.text
