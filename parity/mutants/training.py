"""Mistakes in train mode and in the criteria, which evaluation does not show: edits of a certificate's Paddle side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models_paddle import paddle
from parity.certify.paddle_side import PaddleSide
from parity.mutants.mutant import Array, Mutant, training_mutant
from recipe.ohem import Mining

MUTANTS: list[Mutant] = []

nn = paddle.nn


@training_mutant(MUTANTS, "backward", "biased variance")
def biased_running_variance(side: PaddleSide) -> None:
    """Paddle's own BatchNorm: the running variance of each batch is the biased one."""
    for norm in _norms(side):
        norm.forward = _own_in_training(norm)


@training_mutant(MUTANTS, "forward", "momentum")
def statistics_momentum_inverted(side: PaddleSide) -> None:
    """BatchNorm is given torch's momentum, which is the complement of Paddle's."""
    for norm in _norms(side):
        norm._momentum = 1 - norm._momentum


@training_mutant(MUTANTS, "backward", "evaluation mode")
def evaluation_mode_while_training(side: PaddleSide) -> None:
    """BatchNorm stays in evaluation mode, as when a backbone is frozen by habit."""
    train = side.train

    def partly() -> None:
        train()
        for norm in _norms(side):
            norm.eval()

    side.train = partly  # type: ignore[method-assign]


@training_mutant(MUTANTS, "forward", "kind of dropout")
def dropout_of_elements(side: PaddleSide) -> None:
    """Dropout drops single elements, where the reference drops whole channels."""
    _become_dropout(side, axis=None, mode="upscale_in_train")


@training_mutant(MUTANTS, "forward", "dropout downscales")
def dropout_not_scaled(side: PaddleSide) -> None:
    """What dropout keeps is not scaled up while training."""
    _become_dropout(side, axis=[0, 1], mode="downscale_in_infer")


@training_mutant(MUTANTS, "backward", "detached")
def residual_detached(side: PaddleSide) -> None:
    """No gradient flows through the shortcut of one block."""
    side.modules["backbone.stage3.1.residual"].module.forward = lambda left, right: left + right.detach()


@training_mutant(MUTANTS, "backward", "detached")
def attention_detached(side: PaddleSide) -> None:
    """No gradient flows through the features that the attention adds its values to."""
    attention = side.modules["head.attention"].module
    forward = attention.forward
    attention.forward = lambda features: forward(features) - features + features.detach()


@training_mutant(MUTANTS, "optimiser", "frozen parameters")
def gamma_frozen(side: PaddleSide) -> None:
    """The scale of the attention is no trainable parameter: it stays what it was."""
    side.modules["head.attention"].module.gamma.stop_gradient = True


@training_mutant(MUTANTS, "loss", "void counted")
def void_counted_as_a_class(side: PaddleSide) -> None:
    """The ignored label is another number than the labels': 255 is taken for class 0."""
    _edit_criterion(side, _void_as_zero)


@training_mutant(MUTANTS, "loss", "epsilon")
def epsilon_in_the_denominator(side: PaddleSide) -> None:
    """The mean divides by the number of pixels plus 1e-5, as PaddleSeg's does."""
    _edit_mean(side, lambda total, count: total / (count + 1e-5))


@training_mutant(MUTANTS, "loss", "sum for mean")
def sum_for_mean(side: PaddleSide) -> None:
    """The loss is the sum over the pixels."""
    _edit_mean(side, lambda total, count: total)


@training_mutant(MUTANTS, "loss", "mean over all pixels")
def mean_over_ignored_pixels(side: PaddleSide) -> None:
    """The mean divides by the number of all pixels, the ignored included."""

    def edit(criterion: Any) -> None:
        mean = criterion.mean_loss
        criterion.mean_loss = lambda logits, labels: (
            mean(logits, labels) * (labels != criterion.ignore_index).astype(logits.dtype).mean()
        )

    _edit_criterion(side, edit)


@training_mutant(MUTANTS, "loss", "auxiliary weight")
def auxiliary_weight_lost(side: PaddleSide) -> None:
    """The auxiliary loss counts in full."""
    _edit_criterion(side, lambda criterion: setattr(criterion, "auxiliary_weight", 1.0))


@training_mutant(MUTANTS, "loss", "align_corners")
def loss_corners_not_aligned(side: PaddleSide) -> None:
    """The criterion resizes logits otherwise than the reference does."""
    _edit_criterion(side, lambda criterion: setattr(criterion, "align_corners", not criterion.align_corners))


@dataclass(frozen=True, kw_only=True)
class _Strict(Mining):
    """Keeps a pixel only below the threshold."""

    def select(self, probabilities: Array, labels: Array, *, ignore_index: int) -> Array:
        kept = super().select(probabilities, labels, ignore_index=ignore_index)
        threshold = self.find_threshold(probabilities, labels, ignore_index=ignore_index)
        valid = np.where(kept == ignore_index, 0, kept)
        own = np.take_along_axis(probabilities, valid[:, None].astype(np.int64), 1)[:, 0]
        return np.where(own < threshold, kept, ignore_index)


@training_mutant(MUTANTS, "loss", "OHEM by <")
def ohem_below_the_threshold(side: PaddleSide) -> None:
    """OHEM keeps pixels below its threshold, not at it."""
    _edit_mining(side, lambda mining: _Strict(**vars(mining)))


@training_mutant(MUTANTS, "loss", "OHEM at full size")
def ohem_at_full_resolution(side: PaddleSide) -> None:
    """OHEM looks for its threshold among all pixels, not on the subsampled map."""
    _edit_mining(side, lambda mining: replace(mining, factor=1))


@training_mutant(MUTANTS, "loss", "cross-entropy for OHEM or OHEM min_kept")
def ohem_keeps_too_many(side: PaddleSide) -> None:
    """The number of pixels to keep is not divided for the subsampled map."""
    _edit_mining(side, lambda mining: replace(mining, min_kept=mining.min_kept * mining.factor**2))


def _norms(side: PaddleSide) -> list[Any]:
    return [info.module for info in side.modules.values() if info.kind == "norm"]


def _become_dropout(side: PaddleSide, **kind: Any) -> None:
    for info in side.modules.values():
        if isinstance(info.module, nn.Dropout2D):
            other = nn.Dropout(info.module.p, **kind)
            info.module.__class__ = nn.Dropout
            info.module.__dict__.update(vars(other))


def _own_in_training(norm: Any) -> Callable[[Any], Any]:
    evaluate = norm.forward
    return lambda features: nn.BatchNorm2D.forward(norm, features) if norm.training else evaluate(features)


def _edit_criterion(side: PaddleSide, edit: Callable[[Any], None]) -> None:
    make = side.criterion

    def edited(mining: Mining | None = None) -> Any:
        criterion = make(mining)
        edit(criterion)
        return criterion

    side.criterion = edited  # type: ignore[method-assign]


def _edit_mean(side: PaddleSide, divide: Callable[[Any, Any], Any]) -> None:
    def edit(criterion: Any) -> None:
        mean = criterion.mean_loss

        def edited(logits: Any, labels: Any) -> Any:
            count = (labels != criterion.ignore_index).sum().astype(logits.dtype)
            return divide(mean(logits, labels) * count, count)

        criterion.mean_loss = edited

    _edit_criterion(side, edit)


def _void_as_zero(criterion: Any) -> None:
    forward = criterion.forward
    criterion.ignore_index = -100
    criterion.forward = lambda outputs, labels: forward(outputs, paddle.where(labels == 255, labels * 0, labels))


def _edit_mining(side: PaddleSide, edit: Callable[[Mining], Mining]) -> None:
    make = side.criterion
    side.criterion = lambda mining=None: make(None if mining is None else edit(mining))  # type: ignore[method-assign]
