"""The repairs of PaddleSeg: still needed, enough, and the same function as before."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import paddle
import pytest
from paddleseg.models.losses import CrossEntropyLoss, OhemCrossEntropyLoss

from paddleseg_port import compat, metrics

LOGITS = np.random.default_rng(0).standard_normal((2, 5, 3, 4)).astype(np.float32)
LABELS = np.random.default_rng(1).choice([0, 1, 2, 3, 4, 255], (2, 3, 4))

SCRIPT = """
import json, models_paddle
from paddleseg_port import compat
needed = {repair.name: repair.is_needed() for repair in compat.REPAIRS}
made = compat.repair_paddleseg()
print(json.dumps([needed, made, [repair.is_needed() for repair in compat.REPAIRS], compat.repair_paddleseg()]))
"""


def test_each_repair_is_still_needed_and_repairs() -> None:
    """Paddle 2.6 mixes dtypes by itself; all other faults are in every Paddle since 2.5."""
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    needed, made, still_needed, again = json.loads(result.stdout.splitlines()[-1])
    refuses_mixing = int(paddle.__version__.split(".")[0]) >= 3
    assert needed == {"mixed-dtypes": refuses_mixing, "scalar-losses": True, "concatenated-areas": True}
    assert made == [name for name, is_needed in needed.items() if is_needed]
    assert not any(still_needed)
    assert again == []


def test_a_repair_hides_no_other_fault() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    repair = compat.Repair(name="other", reason="", probe=fail, error=TypeError, apply=fail)
    with pytest.raises(ZeroDivisionError):
        repair.is_needed()


def compute(*losses: paddle.nn.Layer) -> list[paddle.Tensor]:
    compat.repair_paddleseg()
    logits = [paddle.to_tensor(LOGITS)] * len(losses)
    settings = {"types": list(losses), "coef": [1] * len(losses)}
    return compat.training.loss_computation(logits, paddle.to_tensor(LABELS), None, settings)


def own_probabilities() -> np.ndarray:
    """Of the label, for each pixel that is not ignored."""
    shifted = np.exp(LOGITS.astype(np.float64) - LOGITS.max(1, keepdims=True))
    own = np.take_along_axis(shifted / shifted.sum(1, keepdims=True), np.where(LABELS == 255, 0, LABELS)[:, None], 1)
    return own[:, 0][LABELS != 255]


def test_repaired_losses_are_what_they_were() -> None:
    """Plain and weighted cross-entropy, and OHEM that keeps the 6 hardest pixels but one, by its strict <."""
    class_weights = np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    plain, weighted, ohem = compute(
        CrossEntropyLoss(), CrossEntropyLoss(weight=class_weights), OhemCrossEntropyLoss(thresh=0.0, min_kept=6)
    )
    own, share = own_probabilities(), class_weights[LABELS[LABELS != 255]]
    assert float(plain) == pytest.approx(-np.log(own).mean(), rel=1e-5)
    assert float(weighted) == pytest.approx(-(share * np.log(own)).sum() / share.sum(), rel=1e-5)
    kept = len(LABELS.ravel()) / 5  # its EPS is added to the share of kept pixels
    assert float(ohem) == pytest.approx(-np.log(np.sort(own)[:5]).mean() / (1 + 1e-5 * kept), rel=1e-5)


def test_repaired_losses_have_gradients() -> None:
    logits = paddle.to_tensor(LOGITS, stop_gradient=False)
    compat.repair_paddleseg()
    settings = {"types": [CrossEntropyLoss()], "coef": [1]}
    sum(compat.training.loss_computation([logits], paddle.to_tensor(LABELS), None, settings)).backward()
    gradient = logits.grad.numpy()
    assert np.abs(gradient[:, :, LABELS[0] != 255][0]).max() > 0
    assert np.abs(gradient.transpose(0, 2, 3, 1)[LABELS == 255]).max() == 0


def test_operators_come_back_after_an_error() -> None:
    before = paddle.Tensor.__add__, paddle.Tensor.__mul__
    with compat.left_dtype_decides():
        assert (paddle.ones([2]) * paddle.ones([2], "int64")).dtype == paddle.float32
    with pytest.raises(ZeroDivisionError), compat.left_dtype_decides():
        raise ZeroDivisionError
    assert (paddle.Tensor.__add__, paddle.Tensor.__mul__) == before


def count_naively(pred: np.ndarray, label: np.ndarray, classes: int, ignored: int) -> list[list[int]]:
    kept = label != ignored
    return [
        [int(((pred == k) & (label == k) & kept).sum()) for k in range(classes)],
        [int(((pred == k) & kept).sum()) for k in range(classes)],
        [int((label == k).sum()) for k in range(classes)],
    ]


@pytest.mark.parametrize("ignored", [255, 0])
@pytest.mark.parametrize("values", [[0, 1, 2, 255], [0, 1, 2, 7, 255], [255]])
def test_areas_are_the_pixels_of_each_class(values: list[int], ignored: int) -> None:
    """Labels that are no class count as wrong predictions, as in PaddleSeg."""
    rng = np.random.default_rng(0)
    pred, label = rng.integers(0, 3, (2, 1, 5, 7)), rng.choice(values, (2, 1, 5, 7))
    areas = metrics.calculate_area(paddle.to_tensor(pred), paddle.to_tensor(label), 3, ignored)
    assert [area.tolist() for area in areas] == count_naively(pred, label, 3, ignored)
    assert all(area.dtype == paddle.int64 for area in areas)


def test_areas_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="sizes must be equal"):
        metrics.calculate_area(paddle.zeros([1, 1, 2, 2], "int64"), paddle.zeros([1, 2, 3], "int64"), 2)
