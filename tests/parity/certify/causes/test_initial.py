"""Initial values of porters, each with its cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_paddle import paddle
from models_paddle.initialise import initialise
from parity.certify.gate import Outcome
from parity.certify.paddle_side import PaddleSide
from tests.parity.certify.cases import make_subject, outcome_of

initializer = paddle.nn.initializer


def fill(chosen: Callable[[str, Any], bool], how: Any) -> Callable[[PaddleSide], None]:
    """Begin as the family does, but for the chosen parameters."""

    def edit(side: PaddleSide) -> None:
        def begin(family: str) -> None:
            initialise(side.model, family)
            for name, parameter in side.model.named_parameters():
                if chosen(name, parameter):
                    how(parameter)

        side.initialise = begin  # type: ignore[method-assign]

    return edit


def laplace(parameter: Any) -> None:
    values = np.random.default_rng(0).laplace(0.0, 0.02, parameter.shape)
    parameter.set_value(paddle.to_tensor(values, dtype=parameter.dtype))


def is_kernel(name: str, parameter: Any) -> bool:
    return parameter.ndim == 4


def outcome_under(edit: Callable[[PaddleSide], None], folder: Path) -> Outcome:
    return outcome_of("initialisation", make_subject(folder, edit=edit))


@pytest.mark.parametrize(
    ("chosen", "how", "name", "words"),
    [
        (is_kernel, initializer.XavierUniform(), "initial weights", "Xavier uniform, the reference's uniform within 1"),
        (is_kernel, initializer.Normal(0.0, 0.033), "initial weights", "normal of deviation 0.033"),
        (
            is_kernel,
            initializer.TruncatedNormal(0.0, 0.02, -0.04, 0.04),
            "initial weights",
            "truncated normal of deviation 0.02",
        ),
        (
            lambda name, p: "classifier.weight" in name,
            initializer.Normal(0.0, 0.01),
            "initial weights",
            "normal of deviation 0.01 in head.classifier.weight and 1 more",
        ),
        (
            lambda name, p: "expand.norm.weight" in name,
            initializer.Constant(0.0),
            "initial scales of norms",
            "begin 0 in backbone",
        ),
        (lambda name, p: name.endswith("gamma"), initializer.Constant(1.0), "initial lone scales", "begin 1"),
    ],
    ids=["Xavier", "deviation", "cut", "classifiers", "last scales", "gamma"],
)
def test_the_cause_of_other_values(chosen: Any, how: Any, name: str, words: str, tmp_path: Path) -> None:
    outcome = outcome_under(fill(chosen, how), tmp_path)
    assert outcome.verdict == "failed"
    assert outcome.cause is not None
    assert outcome.cause.name == name
    assert words in outcome.cause.text
    assert outcome.cause.proved


def test_a_distribution_that_is_not_known_has_no_cause(tmp_path: Path) -> None:
    outcome = outcome_under(fill(is_kernel, laplace), tmp_path)
    assert outcome.verdict == "failed"
    assert outcome.cause is None
    assert outcome.tried > 10
    assert "deviations are 0.028" in outcome.facts[0]
