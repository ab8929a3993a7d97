"""A reference's own parts, in torch's terms, take the place of its family's recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.certify.cases import make_subject, outcome_of

REFERENCE = "tests.parity.certify.reference_parts:"
SMOOTHED = """
import paddle
import paddle.nn.functional as F


def loss(outputs, labels):
    logits = F.interpolate(outputs[0], labels.shape[1:], mode="bilinear", align_corners=True)
    valid = labels != 255
    chosen = F.log_softmax(logits, 1).transpose([0, 2, 3, 1])[valid]
    own = paddle.take_along_axis(chosen, labels[valid].unsqueeze(1), 1)[:, 0]
    return -(0.9 * own + 0.1 * chosen.mean(1)).mean()


def optimiser(parameters):
    return paddle.optimizer.Momentum(0.02, 0.8, parameters=parameters, weight_decay=1e-3)


def schedule():
    return paddle.optimizer.lr.InverseTimeDecay(0.02, 0.001)


def rate(step):
    return 0.02 / (1 + step)
"""


@pytest.mark.parametrize(
    ("gate", "part", "name"),
    [
        ("loss", "loss", "loss"),
        ("optimiser", "optimiser", "optimiser"),
        ("regularisation", "optimiser", "optimiser"),
        ("learning rate", "schedule", "schedule"),
        ("learning rate", "schedule", "rate"),
    ],
)
def test_another_recipe(gate: str, part: str, name: str, tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(SMOOTHED)
    reference = {part: REFERENCE + name, **({"optimiser": REFERENCE + "optimiser"} if part == "schedule" else {})}
    given = {"parts": {part: f"{own}:{name}"}, "reference_parts": reference}
    outcome = outcome_of(gate, make_subject(tmp_path, size=(33, 49), **given))
    assert outcome, outcome.reason
    assert "reference_parts.py" in outcome.code["reference"]
    family = outcome_of(gate, make_subject(tmp_path, size=(33, 49), parts=given["parts"]))
    assert family.verdict == "failed"
