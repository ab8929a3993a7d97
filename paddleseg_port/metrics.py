"""Pixel counts of an evaluation: what PaddleSeg's metrics need, and the confusion matrix that it does not keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddleseg.utils import metrics

from cityscapes.confusion import count_confusion

Array = np.ndarray[Any, Any]


def calculate_area(
    pred: Tensor, label: Tensor, num_classes: int, ignore_index: int = 255
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels per class that are right, predicted and labelled: three of (num_classes,) int64.

    `pred` and `label` are integers of one shape, (N, 1, H, W) or (N, H, W). Stands in for PaddleSeg's
    function of this name and returns its integers. Raises ValueError if the numbers of pixels differ.
    """
    predictions, labels = pred.flatten().astype("int64"), label.flatten().astype("int64")
    if predictions.shape != labels.shape:
        raise ValueError(f"the prediction is {tuple(pred.shape)}, its label {tuple(label.shape)}; sizes must be equal")
    other, ignored = paddle.full_like(labels, num_classes), paddle.full_like(labels, num_classes + 1)
    classes = paddle.where((labels >= 0) & (labels < num_classes), labels, other)
    rows = paddle.where(labels == ignore_index, ignored, classes)
    table = paddle.bincount(rows * num_classes + predictions, minlength=(num_classes + 2) * num_classes)
    counted = table.reshape([num_classes + 2, num_classes])[: num_classes + 1]
    label_area = paddle.bincount(classes, minlength=num_classes + 1)[:num_classes]
    return paddle.diag(counted[:num_classes]), counted.sum(0), label_area


@contextmanager
def recorded_confusion(num_classes: int) -> Iterator[Array]:
    """The confusion matrix (label, prediction), int64, of all that PaddleSeg evaluates in this block."""
    confusion = np.zeros((num_classes, num_classes), np.int64)
    original = metrics.calculate_area

    def record(pred: Tensor, label: Tensor, *sizes: Any, **options: Any) -> Any:
        confusion[:] += count_confusion(pred.numpy().ravel(), label.numpy().ravel(), num_classes)
        return original(pred, label, *sizes, **options)

    metrics.calculate_area = record
    try:
        yield confusion
    finally:
        metrics.calculate_area = original
