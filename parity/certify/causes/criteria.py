"""Edits of a criterion of `models_torch.losses`, in place: what a porter's loss does instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models_torch.losses import OhemCrossEntropy, resize_logits
from parity.certify.causes.engine import Array
from recipe.ohem import Mining

Edit = Callable[[Any], None]


def relabel(old: int | None, new: int | None) -> Edit:
    """Labels `old` become `new`: numbers of classes, the last one -1; None is the ignored label."""

    def edit(criterion: Any) -> None:
        forward = criterion.forward

        def relabelled(outputs: Any, labels: Tensor) -> Tensor:
            left, right = (255 if label is None else label % outputs[0].shape[1] for label in (old, new))
            return Tensor(forward(outputs, labels.masked_fill(labels == left, right)))

        criterion.forward = relabelled

    return edit


class _PaddlesResize(torch.autograd.Function):
    """Paddle's own bilinear resize, forwards and back: its positions and weights are float32 whatever the dtype."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, size: tuple[int, int], corners: bool) -> Tensor:
        from models_paddle import paddle

        with paddle.enable_grad():
            ctx.given = paddle.to_tensor(logits.detach().numpy(), stop_gradient=False)
            ctx.resized = paddle.nn.functional.interpolate(ctx.given, size, mode="bilinear", align_corners=corners)
        return torch.from_numpy(ctx.resized.numpy())

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        from models_paddle import paddle

        (gradient,) = paddle.grad([ctx.resized], [ctx.given], [paddle.to_tensor(upstream[0].contiguous().numpy())])
        return torch.from_numpy(gradient.numpy()), None, None


def resize_otherwise(*, paddles: bool) -> Edit:
    """Logits resized with the other align_corners, by Paddle's own resize or by the exact one."""

    def edit(criterion: Any) -> None:
        forward, corners = criterion.forward, not criterion.align_corners

        def resize(logits: Tensor, size: tuple[int, int]) -> Tensor:
            if paddles:
                return Tensor(_PaddlesResize.apply(logits, size, corners))
            return resize_logits(logits, size, align_corners=corners)

        criterion.forward = lambda outputs, labels: forward(
            tuple(resize(output, tuple(labels.shape[1:])) for output in outputs), labels
        )

    return edit


def resize_labels(criterion: Any) -> None:
    forward = criterion.forward

    def resized(outputs: Any, labels: Tensor) -> Tensor:
        small = functional.interpolate(labels[:, None].double(), outputs[0].shape[2:], mode="nearest")
        return Tensor(forward(outputs, small[:, 0].to(labels.dtype)))

    criterion.forward = resized


def before_mean(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Edit:
    def edit(criterion: Any) -> None:
        mean = criterion.mean_loss
        criterion.mean_loss = lambda logits, labels: mean(*change(logits, labels))

    return edit


def smooth(share: float) -> Edit:
    def edit(criterion: Any) -> None:
        criterion.mean_loss = lambda logits, labels: functional.cross_entropy(
            logits, labels, ignore_index=criterion.ignore_index, label_smoothing=share
        )

    return edit


def divide(by: Callable[[Any, float], Any]) -> Edit:
    """The mean divides by another number: a function of what it divides by, and of how many pixels there are."""

    def edit(criterion: Any) -> None:
        mean = criterion.mean_loss

        def divided(logits: Tensor, labels: Tensor) -> Tensor:
            counts = labels != criterion.ignore_index
            own = (torch.ones_like(counts) if criterion.ignored_in_mean else counts).sum().to(logits)
            return Tensor(mean(logits, labels) * (own / by(own, float(labels.numel()))))

        criterion.mean_loss = divided

    return edit


def add_epsilon(epsilon: float, *, by_share: bool) -> Edit:
    return divide(lambda count, all_: count + epsilon * (all_ if by_share else 1.0))


def by_picture(criterion: Any) -> None:
    mean = criterion.mean_loss
    criterion.mean_loss = lambda logits, labels: torch.stack(
        [mean(one[None], own[None]) for one, own in zip(logits, labels, strict=True)]
    ).mean()


@dataclass(frozen=True, kw_only=True)
class Below(Mining):
    def find_threshold(self, probabilities: Array, labels: Array, *, ignore_index: int) -> float:
        """The number just below the threshold: what is at most that is less than the threshold."""
        return float(np.nextafter(super().find_threshold(probabilities, labels, ignore_index=ignore_index), 0.0))


def mine(change: Callable[[Mining], Mining]) -> Edit:
    """Another mining, of a criterion that mines."""

    def edit(criterion: Any) -> None:
        if isinstance(criterion, OhemCrossEntropy):
            criterion.mining = change(criterion.mining)

    return edit


def set_mining(**settings: Any) -> Edit:
    return mine(lambda own: replace(own, **settings))


def mine_both(criterion: Any) -> None:
    mean = criterion.mean_loss
    criterion.select = lambda logits, labels: labels
    criterion.mean_loss = lambda logits, labels: mean(logits, type(criterion).select(criterion, logits, labels))
