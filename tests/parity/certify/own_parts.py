"""Parts as a porter writes them, in Paddle's terms, right and wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_paddle import paddle

functional = paddle.nn.functional
RATE, STEPS, DECAY = 1e-2, 60_000, 1e-4


def preprocess(pixels: Any) -> Any:
    """BGR less the mean."""
    return (pixels[..., ::-1].astype("float32") - np.float32([104.00698793, 116.66876762, 122.67891434])).transpose(
        2, 0, 1
    )


def loss(outputs: Any, labels: Any) -> Any:
    """Cross-entropy of both outputs, written in the plain way."""
    return weighted(outputs, labels, 0.4)


def weighted(outputs: Any, labels: Any, share: float, *, corners: bool = True) -> Any:
    total = 0.0
    for output, factor in zip(outputs, (1.0, share), strict=False):
        logits = functional.interpolate(output, labels.shape[1:], mode="bilinear", align_corners=corners)
        total = total + factor * functional.cross_entropy(logits, labels, ignore_index=255, axis=1)
    return total


def mean_over_all(outputs: Any, labels: Any) -> Any:
    """As mmsegmentation's: what is ignored adds nothing, and is counted."""
    total = 0.0
    for output, factor in zip(outputs, (1.0, 0.4), strict=True):
        logits = functional.interpolate(output, labels.shape[1:], mode="bilinear", align_corners=False)
        total += factor * functional.cross_entropy(logits, labels, ignore_index=255, reduction="none", axis=1).mean()
    return total


def mean_over_counted(outputs: Any, labels: Any) -> Any:
    return weighted(outputs, labels, 0.4, corners=False)


class Loss(paddle.nn.Layer):
    """The same as a layer."""

    def forward(self, outputs: Any, labels: Any) -> Any:
        return loss(outputs, labels)


def make_loss() -> Loss:
    return Loss()


def optimiser(parameters: Any) -> Any:
    """With its schedule inside, as Paddle has it."""
    return momentum(parameters, schedule())


def momentum(parameters: Any, rate: Any) -> Any:
    return paddle.optimizer.Momentum(rate, 0.9, parameters=parameters, weight_decay=DECAY)


def constant(parameters: Any) -> Any:
    """With one rate."""
    return momentum(parameters, RATE)


def in_groups(model: Any) -> Any:
    """With equal settings for two groups of parameters."""
    own = model.parameters()
    groups = [{"params": own[:5]}, {"params": own[5:], "learning_rate": 1.0}]
    return paddle.optimizer.Momentum(RATE, 0.9, parameters=groups, weight_decay=DECAY)


def schedule() -> Any:
    return paddle.optimizer.lr.PolynomialDecay(RATE, STEPS, 0.0, 0.9)


def rate_of(step: int) -> float:
    """The same as a formula."""
    return float(RATE * max(1 - step / STEPS, 0) ** 0.9)


def confusion(predictions: Any, labels: Any, num_classes: int) -> Any:
    """A confusion matrix [label, prediction]."""
    valid = labels != 255
    pairs = labels[valid] * num_classes + predictions[valid]
    return paddle.bincount(pairs, minlength=num_classes**2).reshape([num_classes, num_classes])


def miou(predictions: Any, labels: Any, num_classes: int) -> float:
    """The mean over the classes that occur."""
    table = confusion(predictions, labels, num_classes).numpy().astype("float64")
    hits = np.diag(table)
    union = table.sum(0) + table.sum(1) - hits
    return float((hits[union > 0] / union[union > 0]).mean())


def miou_of_all(predictions: Any, labels: Any, num_classes: int) -> float:
    """The mean over all classes, those that do not occur as 0."""
    table = confusion(predictions, labels, num_classes).numpy().astype("float64")
    hits = np.diag(table)
    return float((hits / np.maximum(table.sum(0) + table.sum(1) - hits, 1)).mean())


def miou_of_all_as_one(predictions: Any, labels: Any, num_classes: int) -> float:
    """The mistake: a class that does not occur counts as found."""
    table = confusion(predictions, labels, num_classes).numpy().astype("float64")
    hits, union = np.diag(table), table.sum(0) + table.sum(1) - np.diag(table)
    return float(np.where(union > 0, hits / np.maximum(union, 1), 1.0).mean())
