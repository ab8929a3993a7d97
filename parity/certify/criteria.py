"""Losses of both sides on the same logits and labels: the cases in which ports go wrong, and which recipe one is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.certify.measure import relative
from parity.certify.outputs import Form
from parity.certify.sides import Side
from recipe.interpolation import interpolation_matrix
from recipe.ohem import Mining

if TYPE_CHECKING:
    from parity.certify.subject import Subject

Array = np.ndarray[Any, Any]

SMALL, LARGE = (13, 17), (49, 49)
"""Of logits, (h, w), whose labels are eight times as large: enough pixels to mine among, and too few."""
PROBE = (3, 4)
"""Of logits, (h, w), that cost next to nothing."""
SURE, WRONG, IGNORED = 8.0, 0.05, 0.1
"""Factor on logits that makes most pixels easy; shares of pixels whose label is another, and 255."""
STRATEGIES = {
    "cross-entropy": None,
    "OHEM by rank": Mining(threshold=1e-6, min_kept=9600),
    "OHEM by threshold": Mining(threshold=0.4, min_kept=640),
    "OHEM keeping all": Mining(threshold=0.01, min_kept=10**6),
}
"""What the toolkit's own criteria are tried with, on small pictures."""


@dataclass(frozen=True)
class Case:
    """Logits, main and auxiliary (N, K, h, w), and labels (N, H, W)."""

    name: str
    outputs: tuple[Array, ...]
    labels: Array


def make_cases(subject: Subject, *, mining: bool) -> Iterator[Case]:
    """Small pictures; with `mining` large ones too, on which all of a real recipe's ways to choose pixels occur."""
    rng = np.random.default_rng([subject.seed, 5])
    classes, align = subject.num_classes, subject.preprocessing.align_corners
    logits = [2 * rng.standard_normal((2, classes, *SMALL)) for _ in range(2)]
    size = enlarged(SMALL, align_corners=align)
    labels = rng.integers(0, classes, (2, *size))
    labels[rng.random(labels.shape) < IGNORED] = 255
    few = np.where(rng.random(labels.shape) < 0.01, labels, 255)
    few[0, 0, 0] = 0
    yield Case("random logits", tuple(logits), labels)
    yield Case("equal logits", tuple(np.zeros_like(array) for array in logits), labels)
    yield Case("few labels", tuple(logits), few)
    if mining:
        large, auxiliary = (rng.standard_normal((1, classes, *LARGE)) for _ in range(2))
        answers = resize(large, enlarged(LARGE, align_corners=align), align_corners=align).argmax(1)
        other = rng.random(answers.shape)
        answers[other < WRONG] = rng.integers(0, classes, int((other < WRONG).sum()))
        answers[rng.random(answers.shape) < IGNORED] = 255
        yield Case("large picture, hard", (large, auxiliary), answers)
        yield Case("large picture, easy", (SURE * large, SURE * (large + auxiliary / 2)), answers)


def make_probe(subject: Subject) -> Case:
    """Very small pictures, on which hypotheses are tried first."""
    rng = np.random.default_rng([subject.seed, 10])
    logits = tuple(2 * rng.standard_normal((2, subject.num_classes, *PROBE)) for _ in range(2))
    labels = rng.integers(
        0, subject.num_classes, (2, *enlarged(PROBE, align_corners=subject.preprocessing.align_corners))
    )
    shares = np.array([IGNORED, 3 * IGNORED])[:, None, None]
    return Case("very small pictures", logits, np.where(rng.random(labels.shape) < shares, 255, labels))


def enlarged(size: tuple[int, int], *, align_corners: bool) -> tuple[int, int]:
    """The size (H, W) at which resized positions are exact in float32 too, in which Paddle keeps them."""
    height, width = (8 * (side - 1) + 1 if align_corners else 8 * side for side in size)
    return height, width


def resize(logits: Array, size: Sequence[int], *, align_corners: bool) -> Array:
    """(N, K, h, w) -> (N, K, H, W), float64, bilinear."""
    rows, columns = (
        interpolation_matrix(source, target, align_corners=align_corners)
        for source, target in zip(logits.shape[2:], size, strict=True)
    )
    return np.asarray(rows @ logits @ columns.T)


def measure(
    side: Side, criterion: Any, form: Form | None, case: Case, corners: bool | None, *, backward: bool = True
) -> Measured:
    """The loss of `case`, and the gradients of its logits, by name; without `backward`, none."""
    loss, tensors = _compute(side, criterion, form, case, corners)
    if backward:
        loss.backward()
    names = ("logits", "auxiliary")
    gradients = {
        name: side.array(tensor.grad) for name, tensor in zip(names, tensors, strict=True) if tensor.grad is not None
    }
    value = side.array(loss)
    return Measured(float(value.reshape(())), gradients, value.dtype == np.float32)


def _compute(side: Side, criterion: Any, form: Form | None, case: Case, corners: bool | None) -> tuple[Any, list[Any]]:
    """The loss of `case`, in the graph, and the logits that it is of.

    With `corners`, a network resizes its logits by itself, and the criterion is given them resized so; `form` is that
    of its outputs, None for a tuple.
    """
    arrays = case.outputs
    if corners is not None:
        arrays = tuple(resize(array, case.labels.shape[1:], align_corners=corners) for array in arrays)
    tensors = [side.tensor(array) for array in arrays]
    for tensor in tensors:
        side.require_gradient(tensor)
    outputs = tuple(tensors) if form is None else form.make(tensors)
    return criterion(outputs, side.tensor(case.labels)), tensors


@dataclass(frozen=True)
class Measured:
    """A loss, the gradients of its logits, and whether it was computed in float32."""

    loss: float
    gradients: dict[str, Array]
    is_single: bool


def find_recipe(subject: Subject) -> str:
    """The published loss of the family's recipe that the port's own is; if it is none, the nearest."""
    losses = subject.recipe.losses
    if len(losses) == 1:
        return next(iter(losses))
    reference, port = subject.torch(layers=False), subject.paddle(layers=False)
    _, form = subject.forms
    (*_, case) = make_cases(subject, mining=True)

    def loss_of(side: Side, criterion: Any, own: Form | None) -> float:
        return float(side.array(_compute(side, criterion, own, case, form.align_corners)[0]).reshape(()))

    try:
        actual = loss_of(port, port.criterion(), form)
    except Exception:  # noqa: BLE001 - whatever the user's code raises: the gate says it
        return next(iter(losses))
    distances = {
        name: relative(actual, loss_of(reference, reference.criterion(mining), None)) for name, mining in losses.items()
    }
    return min(distances, key=lambda name: distances[name])
