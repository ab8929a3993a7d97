"""Networks that train otherwise, each with its cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models_paddle import paddle
from parity.certify.paddle_side import PaddleSide
from tests.parity.certify.cases import make_subject, outcome_of

Edit = Callable[[PaddleSide], None]


def norms(side: PaddleSide, start: str) -> list[Any]:
    own = paddle.nn.layer.norm._BatchNormBase
    return [layer for name, layer in side.model.named_sublayers() if isinstance(layer, own) and name.startswith(start)]


def with_global_statistics(side: PaddleSide) -> None:
    """A part of the network is frozen by a flag."""
    for norm in norms(side, "backbone.stage4"):
        norm.__class__ = paddle.nn.BatchNorm2D
        norm._use_global_stats = True


def by_their_own_formula(side: PaddleSide) -> None:
    """Norms of the backbone that never heard of training."""
    for norm in norms(side, "backbone"):
        norm.forward = lambda x, norm=norm: paddle.nn.functional.batch_norm(
            x, norm._mean, norm._variance, norm.weight, norm.bias, False, norm._momentum, norm._epsilon
        )


def auxiliary_head_cut_off(side: PaddleSide) -> None:
    head = side.model.auxiliary_head
    head.register_forward_pre_hook(lambda layer, inputs: tuple(one.detach() for one in inputs))


def without_gradients_in_a_block(side: PaddleSide) -> None:
    layer = side.model.backbone.stage2[0].spatial
    forward = layer.forward

    def silently(features: Any) -> Any:
        with paddle.no_grad():
            return forward(features)

    layer.forward = silently


def classifier_kept(side: PaddleSide) -> None:
    side.model.head.classifier.weight.stop_gradient = True


def seldom_dropped(side: PaddleSide) -> None:
    side.model.head.dropout.p = 0.2


def slowly(side: PaddleSide) -> None:
    for norm in norms(side, ""):
        norm._momentum = 0.97


def half_residual(side: PaddleSide) -> None:
    """Nothing that is known: one of two inputs has seven tenths of its gradient."""
    layer = side.modules["backbone.stage3.1.residual"].module
    layer.forward = lambda left, right: left + right.detach() + 0.7 * (right - right.detach())


@pytest.mark.parametrize(
    ("edit", "name", "words"),
    [
        (with_global_statistics, "evaluation mode", "norms (backbone.stage4.0.reduce.norm"),
        (by_their_own_formula, "evaluation mode", "while training"),
        (auxiliary_head_cut_off, "detached", "to input 0 of `auxiliary_head`"),
        (without_gradients_in_a_block, "detached", "backbone.stage2.0.spatial"),
        (classifier_kept, "frozen parameters", "head.classifier.weight"),
        (seldom_dropped, "kind of dropout", "whole channels dropped at rate 0.2"),
        (slowly, "momentum", "keep 0.97 of themselves, the reference's 0.9"),
        (half_residual, None, ""),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_the_cause_of_another_pass(edit: Edit, name: str | None, words: str, tmp_path: Path) -> None:
    outcome = outcome_of("backward", make_subject(tmp_path, edit=edit, size=(33, 49)))
    assert outcome.verdict == "failed"
    assert (outcome.cause and outcome.cause.name) == name, outcome.facts
    assert outcome.tried
    assert outcome.cause is None or words in outcome.cause.text
    assert outcome.cause is not None or outcome.facts


def test_a_dropout_that_is_a_function(tmp_path: Path) -> None:
    port = "tests.parity.certify.abn_port:build_dropping_elements"
    cause = outcome_of("backward", make_subject(tmp_path, port=port, size=(33, 49))).cause
    assert cause is not None
    assert cause.name == "kind of dropout"
    assert "head.dropout: elements" in cause.text
