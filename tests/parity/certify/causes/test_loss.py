"""Losses written otherwise than the catalogue, each with its cause; one that no known mistake repeats has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models_paddle import paddle
from tests.parity.certify.cases import make_subject, outcome_of

functional = paddle.nn.functional


def head(logits: Any, labels: Any, *, corners: bool = True) -> tuple[Any, Any]:
    """Negative log-likelihood (N, H, W), zero where ignored, and the mask, of one-hot targets."""
    logits = functional.interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=corners)
    mask = labels != 255
    target = functional.one_hot(paddle.where(mask, labels, paddle.zeros_like(labels)), logits.shape[1])
    likelihood = (functional.log_softmax(logits, 1) * target.transpose([0, 3, 1, 2]).astype(logits.dtype)).sum(1)
    return -likelihood * mask.astype(logits.dtype), mask.astype(logits.dtype)


def with_epsilon(outputs: Any, labels: Any) -> Any:
    parts = [head(output, labels) for output in outputs]
    return sum(w * each.sum() / (mask.sum() + 1e-5) for w, (each, mask) in zip((1, 0.4), parts, strict=True))


def swapped(outputs: Any, labels: Any) -> Any:
    (main, mask), (auxiliary, _) = (head(output, labels) for output in outputs)
    return (0.4 * main + auxiliary).sum() / mask.sum()


def unaligned_and_half(outputs: Any, labels: Any) -> Any:
    (main, mask), (auxiliary, _) = (head(output, labels, corners=False) for output in outputs)
    return (main + 0.5 * auxiliary).sum() / mask.sum()


def cubed(outputs: Any, labels: Any) -> Any:
    """The mistake that nobody knows."""
    (main, mask), (auxiliary, _) = (head(output, labels) for output in outputs)
    return (main**3 + 0.4 * auxiliary).sum() / mask.sum()


@pytest.mark.parametrize(
    ("function", "name", "words"),
    [
        ("with_epsilon", "epsilon", "1e-05"),
        ("swapped", "weights swapped", "0.4"),
        ("unaligned_and_half", "align_corners and auxiliary weight", "0.5, the reference's 0.4"),
    ],
)
def test_the_cause_of_a_loss(function: str, name: str, words: str, tmp_path: Path) -> None:
    cause = explained(function, tmp_path)
    assert cause is not None
    assert cause.name == name
    assert words in cause.text
    assert cause.proved
    assert cause.residual is not None
    assert cause.residual < 1e-12


def test_what_no_known_mistake_repeats_has_no_cause(tmp_path: Path) -> None:
    assert explained("cubed", tmp_path) is None


def explained(function: str, folder: Path) -> Any:
    parts = {"loss": f"{__name__}:{function}"}
    subject = make_subject(folder, port="tests.parity.renamed_port:build", parts=parts, loss_recipe="cross-entropy")
    outcome = outcome_of("loss", subject)
    assert outcome.verdict == "failed"
    return outcome.cause
