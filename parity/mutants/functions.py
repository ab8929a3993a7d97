"""Mistakes in the functions that a porter gives for the parts of his training: each entry is such a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models_paddle import paddle
from parity.mutants.mutant import Mutant, parts_entry

MUTANTS: list[Mutant] = []
EQUIVALENTS: list[Mutant] = []

functional, optim = paddle.nn.functional, paddle.optimizer
RATE, STEPS, MOMENTUM, DECAY = 1e-2, 60_000, 0.9, 1e-4
MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
Function = Callable[..., Any]


def function_mutant(part: str, gate: str, cause: str = "") -> Callable[[Function], Function]:
    """Decorator: a function for the `part`, to be caught at `gate`."""

    def add(function: Function) -> Function:
        MUTANTS.append(parts_entry(function, lambda folder: _given(part, function), gate=gate, cause=cause))
        return function

    return add


def function_equivalent(part: str, *gates: str) -> Callable[[Function], Function]:
    """Decorator: a right function for the `part`, of which none of `gates` may complain."""

    def add(function: Function) -> Function:
        EQUIVALENTS.append(parts_entry(function, lambda folder: _given(part, function), gates=gates))
        return function

    return add


def _given(part: str, function: Function) -> dict[str, Any]:
    return {"parts": {part: f"{__name__}:{function.__name__}"}}


def _resized(outputs: Any, labels: Any, *, corners: bool = True) -> list[Any]:
    return [functional.interpolate(one, labels.shape[1:], mode="bilinear", align_corners=corners) for one in outputs]


def _means(logits: Any, labels: Any) -> list[Any]:
    return [functional.cross_entropy(one, labels, ignore_index=255, axis=1) for one in logits]


@function_mutant("loss", "loss", "auxiliary weight")
def function_auxiliary_in_full(outputs: Any, labels: Any) -> Any:
    """The auxiliary loss counts in full."""
    main, auxiliary = _means(_resized(outputs, labels), labels)
    return main + auxiliary


@function_mutant("loss", "loss", "auxiliary loss missing")
def function_no_auxiliary(outputs: Any, labels: Any) -> Any:
    """The auxiliary loss is left out."""
    return _means(_resized(outputs, labels), labels)[0]


@function_mutant("loss", "loss", "align_corners")
def function_loss_without_corners(outputs: Any, labels: Any) -> Any:
    """The logits are resized without aligning the corners."""
    main, auxiliary = _means(_resized(outputs, labels, corners=False), labels)
    return main + 0.4 * auxiliary


@function_mutant("loss", "loss", "mean over all pixels")
def function_mean_of_all_pixels(outputs: Any, labels: Any) -> Any:
    """The mean divides by the number of all pixels."""
    main, auxiliary = _means(_resized(outputs, labels), labels)
    return (main + 0.4 * auxiliary) * (labels != 255).astype(main.dtype).mean()


@function_mutant("loss", "loss")
def function_labels_resized(outputs: Any, labels: Any) -> Any:
    """The labels are brought to the logits' size, not the logits to theirs."""
    small = [labels[:, :: labels.shape[1] // one.shape[2], :: labels.shape[2] // one.shape[3]] for one in outputs]
    main, auxiliary = (
        _means([one], label[:, : one.shape[2], : one.shape[3]])[0] for one, label in zip(outputs, small, strict=True)
    )
    return main + 0.4 * auxiliary


@function_mutant("optimiser", "optimiser", "Nesterov")
def function_nesterov(parameters: Any) -> Any:
    """The optimiser looks ahead, as Nesterov's does."""
    return optim.Momentum(RATE, MOMENTUM, parameters=parameters, use_nesterov=True, weight_decay=DECAY)


@function_mutant("optimiser", "optimiser", "momentum")
def function_no_momentum(parameters: Any) -> Any:
    """The optimiser keeps no momentum."""
    return optim.SGD(RATE, parameters=parameters, weight_decay=DECAY)


@function_mutant("optimiser", "optimiser")
def function_adam(parameters: Any) -> Any:
    """The optimiser is Adam."""
    return optim.Adam(RATE, parameters=parameters)


@function_mutant("optimiser", "optimiser", "frozen parameters")
def function_some_parameters(parameters: Any) -> Any:
    """The first ten parameters are not given to the optimiser."""
    return optim.Momentum(RATE, MOMENTUM, parameters=parameters[10:], weight_decay=DECAY)


@function_mutant("optimiser", "regularisation", "decay")
def function_decay(parameters: Any) -> Any:
    """The decay is another recipe's, 5e-4."""
    return optim.Momentum(RATE, MOMENTUM, parameters=parameters, weight_decay=5e-4)


@function_mutant("optimiser", "regularisation", "one dimension spared")
def function_decay_of_matrices(parameters: Any) -> Any:
    """Biases and the parameters of norms do not decay."""
    flat = [parameter for parameter in parameters if parameter.ndim == 1]
    rest = [parameter for parameter in parameters if parameter.ndim != 1]
    groups = [{"params": flat, "weight_decay": 0.0}, {"params": rest}]
    return optim.Momentum(RATE, MOMENTUM, parameters=groups, weight_decay=DECAY)


@function_mutant("schedule", "learning rate", "cosine")
def function_cosine() -> Any:
    """The rate falls by a cosine."""
    return optim.lr.CosineAnnealingDecay(RATE, STEPS)


@function_mutant("schedule", "learning rate", "length")
def function_shorter_schedule() -> Any:
    """The rate falls within 40,000 steps."""
    return optim.lr.PolynomialDecay(RATE, 40_000, 0.0, 0.9)


@function_mutant("schedule", "learning rate", "warm-up")
def function_warm_up() -> Any:
    """The rate is warmed up for 500 steps."""
    return optim.lr.LinearWarmup(optim.lr.PolynomialDecay(RATE, STEPS, 0.0, 0.9), 500, 0.0, RATE)


@function_mutant("schedule", "learning rate", "a step late")
def function_step_late(step: int) -> float:
    """The rate is that of the step before."""
    return float(RATE * max(1 - max(step - 1, 0) / STEPS, 0) ** 0.9)


@function_mutant("schedule", "learning rate", "by epoch")
def function_rate_by_epoch(step: int) -> float:
    """The rate falls once an epoch."""
    return float(RATE * max(1 - step // 371 * 371 / STEPS, 0) ** 0.9)


@function_mutant("preprocessing", "validation data", "channel order")
def function_pixels_as_rgb(pixels: Any) -> Any:
    """Pixels keep the order of the file, the mean its own."""
    return (pixels.astype("float32") - MEAN).transpose(2, 0, 1)


@function_mutant("preprocessing", "validation data", "scale")
def function_pixels_scaled(pixels: Any) -> Any:
    """Pixels are divided by 255 as well."""
    return (pixels[..., ::-1].astype("float32") - MEAN).transpose(2, 0, 1) / 255


@function_mutant("metric", "metric", "void counted")
def function_void_counted(predictions: Any, labels: Any, num_classes: int) -> Any:
    """Ignored pixels count as pixels of class 0."""
    return _count(predictions, paddle.where(labels == 255, paddle.zeros_like(labels), labels), num_classes)


@function_mutant("metric", "metric", "mean by picture")
def function_mean_of_pictures(predictions: Any, labels: Any, num_classes: int) -> float:
    """The mIoU is each picture's own, and then their mean."""
    tables = [_count(one, other, num_classes).numpy() for one, other in zip(predictions, labels, strict=True)]
    return float(np.mean([_miou(table.astype("float64")) for table in tables]))


def _count(predictions: Any, labels: Any, num_classes: int) -> Any:
    """The confusion matrix [label, prediction]."""
    valid = labels != 255
    pairs = labels[valid] * num_classes + predictions[valid]
    return paddle.bincount(pairs, minlength=num_classes**2).reshape([num_classes, num_classes])


def _miou(table: Any) -> float:
    hits = np.diag(table)
    union = table.sum(0) + table.sum(1) - hits
    return float((hits[union > 0] / union[union > 0]).mean())


@function_equivalent("loss", "loss")
def function_loss_by_hand(outputs: Any, labels: Any) -> Any:
    """Cross-entropy as the mean of chosen log-probabilities."""
    total = 0.0
    valid = labels != 255
    chosen = functional.one_hot(paddle.where(valid, labels, paddle.zeros_like(labels)), outputs[0].shape[1])
    for logits, factor in zip(_resized(outputs, labels), (1.0, 0.4), strict=True):
        logged = functional.log_softmax(logits, 1).transpose([0, 2, 3, 1])
        weights = chosen.astype(logits.dtype) * valid.astype(logits.dtype).unsqueeze(-1)
        total = total - factor * (logged * weights).sum() / weights.sum()
    return total


@function_equivalent("optimiser", "optimiser", "learning rate", "regularisation")
def function_groups(model: Any) -> Any:
    """Two groups of parameters with equal settings, and the schedule inside."""
    own = model.parameters()
    groups = [{"params": own[:5]}, {"params": own[5:], "learning_rate": 1.0}]
    rate = optim.lr.PolynomialDecay(RATE, STEPS, 0.0, 0.9)
    return optim.Momentum(rate, MOMENTUM, parameters=groups, weight_decay=paddle.regularizer.L2Decay(DECAY))


@function_equivalent("schedule", "learning rate")
def function_rate_as_formula(step: int) -> float:
    """The rate as a formula of the step."""
    return float(RATE * max(1 - step / STEPS, 0) ** 0.9)


@function_equivalent("preprocessing", "validation data")
def function_pixels_as_tensor(pixels: Any) -> Any:
    """Pixels as a tensor, the mean taken off channel by channel."""
    tensor = paddle.to_tensor(np.ascontiguousarray(pixels[..., ::-1])).astype("float32").transpose([2, 0, 1])
    return tensor - paddle.to_tensor(MEAN).reshape([3, 1, 1])


@function_equivalent("metric", "metric")
def function_areas(predictions: Any, labels: Any, num_classes: int) -> float:
    """The mIoU by areas, class by class; those that do not occur count as 0."""
    own, wanted = predictions.numpy(), labels.numpy()
    own = np.where(wanted == 255, -1, own)
    pairs = [((own == k) & (wanted == k), (own == k) | (wanted == k)) for k in range(num_classes)]
    return float(np.mean([both.sum() / max(either.sum(), 1) for both, either in pairs]))
