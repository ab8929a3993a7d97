"""The metric against its definition, PaddleSeg's and torchmetrics'."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from paddleseg.utils import metrics
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from cityscapes.confusion import Score, count_confusion
from cityscapes.labels import NAMES

SHAPE = (37, 53)


def make_arrays(seed, *, classes=19, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, SHAPE)
    prediction = np.where(rng.random(SHAPE) < 0.7, label, rng.integers(0, classes, SHAPE))
    label[rng.random(SHAPE) < 0.1] = 255
    return prediction.astype(dtype), label.astype(dtype)


@given(st.integers(0, 2**32), st.sampled_from([np.uint8, np.int32, np.int64]))
def test_every_cell_is_a_count(seed, dtype):
    prediction, label = make_arrays(seed, dtype=dtype)
    confusion = count_confusion(prediction, label)
    expected = [[int(((label == i) & (prediction == j)).sum()) for j in range(19)] for i in range(19)]
    np.testing.assert_array_equal(confusion, expected)
    assert confusion.dtype == np.int64


def test_memory_that_nobody_may_write_to_and_several_dtypes(recwarn):
    prediction, label = make_arrays(0)
    expected = count_confusion(prediction, label)
    label.flags.writeable = False
    np.testing.assert_array_equal(count_confusion(prediction.astype(np.uint16), label), expected)
    np.testing.assert_array_equal(count_confusion(prediction[:, ::-1], label[:, ::-1].astype(np.int16)), expected)
    assert not recwarn.list


def test_pictures_of_several_pieces(monkeypatch):
    monkeypatch.setattr("cityscapes.confusion.PIECE", 100)
    for dtype in (np.uint8, np.int64):
        prediction, label = make_arrays(0, dtype=dtype)
        assert count_confusion(prediction, label).sum() == (label != 255).sum()
        prediction[-1, -1] = 200
        with pytest.raises(ValueError, match="1 pixel has"):
            count_confusion(prediction, np.where(label == 255, 0, label).astype(dtype))


def paddleseg_areas(monkeypatch, prediction, label):
    """PaddleSeg's three vectors. Its concatenation of scalars, which current Paddle refuses, is made a stack."""
    monkeypatch.setattr(metrics.paddle, "concat", lambda parts: paddle.stack([part.reshape([]) for part in parts]))
    return list(metrics.calculate_area(*map(paddle.to_tensor, (prediction, label)), 19))


@pytest.mark.parametrize("seed", range(3))
def test_paddleseg_counts_the_same(seed, monkeypatch):
    prediction, label = make_arrays(seed, dtype=np.int64)
    areas = paddleseg_areas(monkeypatch, prediction, label)
    confusion = count_confusion(prediction, label)
    for area, expected in zip(areas, (np.diag(confusion), confusion.sum(0), confusion.sum(1)), strict=True):
        np.testing.assert_array_equal(area.numpy(), expected)
    class_iou, miou = metrics.mean_iou(*areas)
    np.testing.assert_array_equal(Score(confusion).class_iou, class_iou)
    assert Score(confusion).miou == miou
    assert Score(confusion).pixel_accuracy == metrics.class_measurement(*areas)[0]


@pytest.mark.parametrize("classes", [19, 11])
def test_torchmetrics_says_the_same(classes):
    """With 11 classes, eight are nowhere: both leave them out of the mean."""
    prediction, label = make_arrays(7, classes=classes, dtype=np.int64)
    score = Score(count_confusion(prediction, label))
    arrays = torch.from_numpy(prediction)[None], torch.from_numpy(label)[None]
    options = {"num_classes": 19, "ignore_index": 255}
    assert float(MulticlassJaccardIndex(**options)(*arrays)) == pytest.approx(score.miou, rel=1e-6)
    assert float(MulticlassAccuracy(**options, average="micro")(*arrays)) == pytest.approx(score.pixel_accuracy)
    assert int(np.isnan(score.class_iou).sum()) == 19 - classes


def test_json_has_null_for_what_no_pixel_tells():
    prediction, label = make_arrays(0, classes=11)
    found = Score(count_confusion(prediction, label)).to_json()
    assert list(found["class_iou"]) == list(NAMES)
    assert found["class_iou"]["bicycle"] is None
    assert len(found["confusion"]) == 19
    empty = Score(count_confusion(prediction, np.full(SHAPE, 255, np.uint8))).to_json()
    assert empty["miou"] is None
    assert empty["pixel_accuracy"] is None


@pytest.mark.parametrize(("value", "dtype"), [(19, np.uint8), (254, np.uint8), (256, np.int64), (-1, np.int64)])
@pytest.mark.parametrize("side", [0, 1])
def test_values_that_are_no_class_are_refused(value, dtype, side):
    arrays = make_arrays(0, dtype=dtype)
    arrays[1][0, 0] = 0
    arrays[side][0, 0] = value
    with pytest.raises(ValueError, match=r"none of 19 classes|no train ids"):
        count_confusion(*arrays)


def test_shapes_must_be_equal():
    prediction, label = make_arrays(0)
    with pytest.raises(ValueError, match=r"\(37, 53\).*one shape"):
        count_confusion(prediction[:1], label)
