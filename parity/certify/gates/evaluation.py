"""Gates "validation data" and "metric": what the networks are shown, and the figure that comes out."""

from __future__ import annotations

from typing import Any

import numpy as np

from cityscapes.confusion import Score, count_confusion
from cityscapes.labels import IGNORED, NUM_CLASSES
from parity.certify.gate import Check, Evidence
from parity.certify.limits import EXACT, EXACT_REASON
from parity.certify.sides import Side
from parity.certify.subject import Subject, decoded
from recipe.interpolation import interpolation_matrix

Array = np.ndarray[Any, Any]

PICTURES = 8
METRIC_PICTURES = 2
LARGEST = (257, 513)
"""Of the piece, top left, that the metric gate looks at: the whole picture in float64 would take minutes."""


def validation_data(subject: Subject) -> Evidence:
    """The first pictures of the validation split, read by both pipelines, value by value."""
    samples = subject.samples("val", PICTURES)
    ours, theirs = subject.torch("float32"), subject.paddle("float32")
    different, where, labelled = 0, "", 0
    for sample in samples:
        pixels, labels = decoded(sample)
        left, right = (side.array(side.tensor(side.preprocess(pixels)[None])) for side in (ours, theirs))
        unequal = left.size if left.shape != right.shape else int((left != right).sum())
        where = where or (sample.name if unequal else "")
        different += unequal
        labelled += int((labels != 255).sum())
    checks = [
        Check(name="input values that differ", measured=different, limit=EXACT, reason=EXACT_REASON, detail=where),
        Check(
            name="splits without a labelled pixel",
            measured=0 if labelled else 1,
            limit=EXACT,
            reason="a split without labels proves nothing",
        ),
    ]
    return Evidence(checks=checks, remarks=[f"{len(samples)} pictures of {subject.dataset.name}"])


def metric(subject: Subject) -> Evidence:
    """Confusion matrices and mIoU of both networks in float64, each counted by its own framework."""
    classes = subject.num_classes
    sides: list[Side] = [subject.torch(), subject.paddle()]
    tables = [np.zeros((classes, classes), np.int64) for _ in sides]
    for side in sides:
        side.model.eval()
    miscounted = 0
    for sample in subject.samples("val", METRIC_PICTURES):
        pixels, labels = (part[: LARGEST[0], : LARGEST[1]] for part in decoded(sample))
        labels = np.where(labels < classes, labels, IGNORED)
        for side, table in zip(sides, tables, strict=True):
            logits = predict(side, pixels)
            counted = side.confusion(logits, labels)
            miscounted += int(np.abs(counted - count_confusion(logits.argmax(0), labels, classes)).sum())
            table += counted
    scores = [Score(table).miou for table in tables]
    checks = [
        _pixels("pixels counted otherwise than by NumPy", miscounted),
        _pixels("pixels that the two confusion matrices disagree on", int(np.abs(tables[0] - tables[1]).sum()) // 2),
        Check(name="mIoU difference", measured=abs(scores[0] - scores[1]), limit=EXACT, reason=EXACT_REASON),
    ]
    remarks = [f"mIoU {scores[0]:.4%} and {scores[1]:.4%} on {tables[0].sum()} pixels"]
    if classes != NUM_CLASSES:
        remarks.append(
            f"{classes} classes against Cityscapes' labels: the agreement means something, the mIoU does not"
        )
    return Evidence(checks=checks, remarks=remarks)


def predict(side: Side, pixels: Array) -> Array:
    """Pixels (H, W, 3) uint8 -> main logits (K, H, W), resized by the same exact matrices on both sides."""
    with side.without_gradients():
        outputs = side.model(side.tensor(side.preprocess(pixels)[None]))
    logits = side.array(outputs[0])[0]
    rows, columns = (
        interpolation_matrix(source, target, align_corners=side.align_corners)
        for source, target in zip(logits.shape[1:], pixels.shape[:2], strict=True)
    )
    return np.asarray(rows @ logits @ columns.T)


def _pixels(name: str, count: int) -> Check:
    reason = "in float64 the networks are 1e-12 apart, far less than any pixel's margin; counts are integers"
    return Check(name=name, measured=count, limit=EXACT, reason=reason)
