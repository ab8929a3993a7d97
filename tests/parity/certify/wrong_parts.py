"""Mistakes in the functions that a porter gives, each with the gate that must catch it."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_paddle import paddle
from tests.parity.certify import own_parts

functional = paddle.nn.functional


def loss_auxiliary_in_full(outputs: Any, labels: Any) -> Any:
    return own_parts.weighted(outputs, labels, 1.0)


def loss_of_the_main_head_alone(outputs: Any, labels: Any) -> Any:
    return own_parts.weighted(outputs[:1], labels, 0.4)


def loss_corners_not_aligned(outputs: Any, labels: Any) -> Any:
    return own_parts.weighted(outputs, labels, 0.4, corners=False)


def loss_over_all_pixels(outputs: Any, labels: Any) -> Any:
    total = 0.0
    for output, factor in zip(outputs, (1.0, 0.4), strict=True):
        logits = functional.interpolate(output, labels.shape[1:], mode="bilinear", align_corners=True)
        each = functional.cross_entropy(logits, labels, ignore_index=255, axis=1, reduction="none")
        total = total + factor * each.mean()
    return total


def optimiser_nesterov(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters, use_nesterov=True, weight_decay=1e-4)


def optimiser_without_momentum(parameters: Any) -> Any:
    return paddle.optimizer.SGD(1e-2, parameters=parameters, weight_decay=1e-4)


def optimiser_adam(parameters: Any) -> Any:
    return paddle.optimizer.Adam(1e-2, parameters=parameters)


def optimiser_of_few(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters[10:], weight_decay=1e-4)


def decay_of_another_recipe(parameters: Any) -> Any:
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=parameters, weight_decay=5e-4)


def decay_by_name(parameters: Any) -> Any:
    """Biases and BatchNorm's parameters are spared."""
    flat = [parameter for parameter in parameters if parameter.ndim == 1]
    rest = [parameter for parameter in parameters if parameter.ndim != 1]
    groups = [{"params": flat, "weight_decay": 0.0}, {"params": rest}]
    return paddle.optimizer.Momentum(1e-2, 0.9, parameters=groups, weight_decay=1e-4)


def schedule_by_cosine() -> Any:
    return paddle.optimizer.lr.CosineAnnealingDecay(1e-2, 60_000)


def schedule_too_short() -> Any:
    return paddle.optimizer.lr.PolynomialDecay(1e-2, 40_000, 0.0, 0.9)


def schedule_warming_up() -> Any:
    return paddle.optimizer.lr.LinearWarmup(own_parts.schedule(), 500, 0.0, 1e-2)


def schedule_one_late(step: int) -> float:
    return own_parts.rate_of(max(step - 1, 0))


def preprocess_rgb(pixels: Any) -> Any:
    return own_parts.preprocess(pixels[..., ::-1])


def preprocess_scaled(pixels: Any) -> Any:
    return own_parts.preprocess(pixels) / 255


def metric_counting_void(predictions: Any, labels: Any, num_classes: int) -> Any:
    return own_parts.confusion(predictions, paddle.where(labels == 255, paddle.zeros_like(labels), labels), num_classes)


def metric_of_pixels(predictions: Any, labels: Any) -> float:
    """The accuracy."""
    valid = (labels != 255).numpy()
    return float(np.mean(predictions.numpy()[valid] == labels.numpy()[valid]))


MISTAKES = {
    "loss_auxiliary_in_full": ("loss", "loss"),
    "loss_of_the_main_head_alone": ("loss", "loss"),
    "loss_corners_not_aligned": ("loss", "loss"),
    "loss_over_all_pixels": ("loss", "loss"),
    "optimiser_nesterov": ("optimiser", "optimiser"),
    "optimiser_without_momentum": ("optimiser", "optimiser"),
    "optimiser_adam": ("optimiser", "optimiser"),
    "optimiser_of_few": ("optimiser", "optimiser"),
    "decay_of_another_recipe": ("optimiser", "regularisation"),
    "decay_by_name": ("optimiser", "regularisation"),
    "schedule_by_cosine": ("schedule", "learning rate"),
    "schedule_too_short": ("schedule", "learning rate"),
    "schedule_warming_up": ("schedule", "learning rate"),
    "schedule_one_late": ("schedule", "learning rate"),
    "preprocess_rgb": ("preprocessing", "validation data"),
    "preprocess_scaled": ("preprocessing", "validation data"),
    "metric_counting_void": ("metric", "metric"),
    "metric_of_pixels": ("metric", "metric"),
}
"""Function -> part, and the gate that must fail."""
