"""Repairs of PaddleSeg 2.8.0, the newest on the index, which is older than the Paddle it runs on.

Each is named, says what it repairs, and is made only where its probe, a tiny run of the PaddleSeg function
in question, fails: a PaddleSeg or Paddle that needs none is left alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor, nn
from paddleseg.models.losses import CrossEntropyLoss, OhemCrossEntropyLoss
from paddleseg.utils import metrics

from paddleseg_port.metrics import calculate_area

training: Any = importlib.import_module("paddleseg.core.train")
"""The module; `paddleseg.core.train` is the function in it."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One fault of PaddleSeg: `probe` raises `error` while it is there, `apply` repairs it."""

    name: str
    reason: str
    probe: Callable[[], object]
    error: type[Exception]
    apply: Callable[[], None]

    def is_needed(self) -> bool:
        """Whether the fault is there."""
        try:
            self.probe()
        except self.error:
            return True
        return False


def repair_paddleseg() -> tuple[str, ...]:
    """Make the repairs that are needed, in order; their names. A second call finds none needed."""
    made = []
    for repair in REPAIRS:
        if repair.is_needed():
            repair.apply()
            made.append(repair.name)
    return tuple(made)


def _compute_losses(*losses: nn.Layer) -> list[Tensor]:
    """PaddleSeg's own computation of `losses` on two pixels of two classes."""
    logits, labels = [paddle.zeros([1, 2, 1, 2])] * len(losses), paddle.zeros([1, 1, 2], "int64")
    values: list[Tensor] = training.loss_computation(
        logits, labels, None, {"types": list(losses), "coef": [1] * len(losses)}
    )
    return values


def _wrap_losses(wrapper: Callable[[Callable[..., list[Tensor]]], Callable[..., list[Tensor]]]) -> Callable[[], None]:
    def apply() -> None:
        training.loss_computation = wrapper(training.loss_computation)

    return apply


def _with_left_dtype(compute: Callable[..., list[Tensor]]) -> Callable[..., list[Tensor]]:
    def computed(*args: Any, **options: Any) -> list[Tensor]:
        with left_dtype_decides():
            return compute(*args, **options)

    return computed


@contextmanager
def left_dtype_decides() -> Iterator[None]:
    """Sums and products of tensors take the dtype of the left one, as in Paddle 2.5 and before."""
    originals = {name: getattr(Tensor, name) for name in ("__add__", "__mul__")}
    for name, original in originals.items():
        setattr(Tensor, name, _cast_right(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(Tensor, name, original)


def _cast_right(operator: Callable[[Tensor, Any], Tensor]) -> Callable[[Tensor, Any], Tensor]:
    def operate(left: Tensor, right: Any) -> Tensor:
        mixed = isinstance(right, Tensor) and right.dtype != left.dtype
        return operator(left, right.astype(left.dtype) if mixed else right)

    return operate


def _with_one_element(compute: Callable[..., list[Tensor]]) -> Callable[..., list[Tensor]]:
    def computed(*args: Any, **options: Any) -> list[Tensor]:
        return [loss.reshape([1]) for loss in compute(*args, **options)]

    return computed


def _replace_area() -> None:
    metrics.calculate_area = calculate_area


REPAIRS = (
    Repair(
        name="mixed-dtypes",
        reason="CrossEntropyLoss and OhemCrossEntropyLoss mix float32 and int64, which Paddle 3 refuses",
        probe=lambda: _compute_losses(OhemCrossEntropyLoss(min_kept=1), CrossEntropyLoss()),
        error=TypeError,
        apply=_wrap_losses(_with_left_dtype),
    ),
    Repair(
        name="scalar-losses",
        reason="train() reads element 0 of each loss; a loss has no dimension since Paddle 2.5",
        probe=lambda: [loss.numpy()[0] for loss in _compute_losses(nn.CrossEntropyLoss(axis=1))],
        error=IndexError,
        apply=_wrap_losses(_with_one_element),
    ),
    Repair(
        name="concatenated-areas",
        reason="calculate_area concatenates sums, which have no dimension since Paddle 2.5",
        probe=lambda: metrics.calculate_area(*[paddle.zeros([1, 1, 1, 2], "int64")] * 2, 2),
        error=ValueError,
        apply=_replace_area,
    ),
)
