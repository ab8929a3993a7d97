"""Gates "validation data" and "metric": what the networks are shown, and the figure that comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cityscapes.confusion import Score, count_confusion
from cityscapes.labels import IGNORED, NUM_CLASSES
from cityscapes.protocols import prepare, protocol_for
from converter.names import count
from parity.certify.causes.engine import Asked, explain
from parity.certify.causes.metrics import Case, propose_metrics, propose_tables
from parity.certify.causes.pixels import propose_pixels
from parity.certify.causes.readings import explain_settings
from parity.certify.gate import Check, Evidence, HandIn
from parity.certify.gates.inference import compare_inference
from parity.certify.limits import EXACT, EXACT_REASON, SINGLE_METRIC, SINGLE_METRIC_REASON, VALUE, VALUE_REASON
from parity.certify.measure import relative
from parity.certify.outputs import in_order
from parity.certify.parts.loaders import FULL_SIZE
from parity.certify.sides import Side
from parity.certify.subject import Subject, decoded
from parity.verdicts.found import Found
from recipe.interpolation import interpolation_matrix
from recipe.preprocessing import preprocess

Array = np.ndarray[Any, Any]

PICTURES = 8
METRIC_PICTURES = 2
ABSENT = "some classes absent"
LARGEST = (257, 513)
"""Of the piece, top left, that the metric gate looks at: the whole picture in float64 would take minutes."""


def validation_data(subject: Subject) -> Evidence:
    """The first pictures of the validation split, read by both pipelines, value by value."""
    samples = subject.samples("val", PICTURES)
    ours, theirs = subject.torch("float32", layers=False), subject.paddle("float32", layers=False)
    farthest, where, labelled = 0.0, "", 0
    # A config pads whole pictures, as its evaluation is shown them; a function is given pieces too.
    pads = subject.port_kit["preprocessing"].facts.get("pads") and ours.own("preprocessing") is None
    for sample in samples:
        pixels, labels = decoded(sample)
        pixels = _enlarge(pixels) if pads else pixels
        shown = prepare(pixels, protocol_for(subject.family))[0] if pads else ours.preprocess(pixels)
        left, right = ours.array(ours.tensor(shown[None])), theirs.array(theirs.tensor(theirs.preprocess(pixels)[None]))
        distance = np.inf if left.shape != right.shape else float(np.abs(left - right).max() / np.abs(left).max())
        if not distance <= farthest:
            farthest, where = distance, f"{sample.name}: {_describe(left)} by the reference, {_describe(right)}"
        labelled += int((labels != 255).sum())
    limit, reason = (VALUE, VALUE_REASON) if subject.gives("preprocessing") else (EXACT, EXACT_REASON)
    checks = [
        Check(name="input values", measured=farthest, limit=limit, reason=reason, detail=where),
        Check(
            name="splits without a labelled pixel",
            measured=0 if labelled else 1,
            limit=EXACT,
            reason="a split without labels proves nothing",
        ),
    ]
    remarks = [f"{count(len(samples), 'picture')} of {subject.dataset.name}"]
    return Evidence(checks=checks, remarks=remarks, explain=lambda: _explain(subject, ours, theirs))


def _enlarge(pixels: Array) -> Array:
    """Pixels (H, W, 3) of Cityscapes' size: a smaller picture as often as it takes."""
    times = [-(-full // side) for full, side in zip(FULL_SIZE, pixels.shape[:2], strict=True)]
    return np.tile(pixels, (*times, 1))[: FULL_SIZE[0], : FULL_SIZE[1]] if max(times) > 1 else pixels


def _explain(subject: Subject, ours: Side, theirs: Side) -> Found:
    """Why pixels are shown otherwise: what another normalisation makes of a piece of the first pictures."""
    if ours.own("preprocessing") is not None:
        return Found()
    pixels = {one.name: decoded(one)[0][: LARGEST[0], : LARGEST[1]] for one in subject.samples("val", METRIC_PICTURES)}
    asked = [
        Asked(name, {"values": theirs.preprocess(one)}, {"values": ours.preprocess(one)}, VALUE)
        for name, one in pixels.items()
    ]
    return explain(asked, propose_pixels(pixels, subject.preprocessing))


def _describe(images: Array) -> str:
    """Shape, range and means of images (N, C, H, W)."""
    means = ", ".join(f"{value:.4g}" for value in images.mean((0, 2, 3))) if images.ndim == 4 else "?"
    return f"{tuple(images.shape[1:])}, {images.min():.4g} to {images.max():.4g}, channel means {means}"


def metric(subject: Subject) -> Evidence:
    """Confusion matrices and mIoU of both networks in float64, each counted by its own framework or metric."""
    classes = subject.num_classes
    sides: list[Side] = [subject.torch(layers=False), subject.paddle(layers=False)]
    tables = [np.zeros((classes, classes), np.int64) for _ in sides]
    for side in sides:
        side.model.eval()
    miscounted, seen, asked = 0, dict[str, Case](), []
    for sample in subject.samples("val", METRIC_PICTURES):
        pixels, labels = (part[: LARGEST[0], : LARGEST[1]] for part in decoded(sample))
        labels = np.where(labels < classes, labels, IGNORED)
        for side, table in zip(sides, tables, strict=True):
            logits = predict(subject, side, pixels)
            counted, right = side.confusion(logits, labels), count_confusion(logits.argmax(0), labels, classes)
            miscounted += int(np.abs(counted - right).sum())
            table += counted
        seen[sample.name] = logits.argmax(0), labels
        asked.append(Asked(sample.name, {"pixels": counted}, {"pixels": right}, EXACT))
    scores = [Score(table).miou for table in tables]
    own = _given_metric(subject, sides)
    checks = [
        _pixels("pixels counted otherwise than by NumPy", miscounted),
        _pixels("pixels that the two confusion matrices disagree on", int(np.abs(tables[0] - tables[1]).sum()) // 2),
        Check(name="mIoU difference", measured=abs(scores[0] - scores[1]), limit=EXACT, reason=EXACT_REASON),
        *subject.forms[1].check_corners(subject.preprocessing.align_corners, "metric"),
        *compare_inference(subject),
        *(_compare_metric(*one) for one in own.items()),
    ]
    remarks = [f"mIoU {scores[0]:.4%} and {scores[1]:.4%} on {tables[0].sum()} pixels"]
    if subject.gives("metric"):
        remarks.append("a class that is in no label and no prediction may be left out of the mean, or count as 0")
    if classes != NUM_CLASSES:
        remarks.append(
            f"{classes} classes against Cityscapes' labels: the agreement means something, the mIoU does not"
        )
    measured = {"mIoU of the networks' predictions": (scores[1], scores[0]), **own}
    hand_in = HandIn(
        port={name: np.array(actual) for name, (actual, _) in measured.items()},
        reference={name: np.array(expected) for name, (_, expected) in measured.items()},
    )

    def explain_why() -> Found:
        found = explain(asked, propose_tables(seen, classes))
        if not found.tried:
            found = _explain_figure(subject, sides)
        return found if found.tried else explain_settings(checks)

    return Evidence(checks=checks, remarks=remarks, explain=explain_why, hand_in=hand_in)


def _given_metric(subject: Subject, sides: Sequence[Side]) -> dict[str, tuple[float, float]]:
    """What the port's own metric and the reference's make of the same class numbers (N, H, W), by what was counted."""
    own = [side.own("metric") for side in sides]
    if not any(own):
        return {}
    found = {}
    for name, (predictions, labels) in _metric_cases(subject).items():
        expected, actual = (
            _measure(side, function, predictions, labels, subject.num_classes)
            for side, function in zip(sides, own, strict=True)
        )
        if name == ABSENT:
            expected = _as_counted(actual, expected, predictions, labels, subject.num_classes)
        found[f"mIoU of {name}"] = actual, expected
    return found


def _compare_metric(name: str, measured: tuple[float, float]) -> Check:
    actual, expected = measured
    detail = f"the port's {actual:.12g}, the reference's {expected:.12g}"
    return Check(
        name=name,
        measured=relative(actual, expected),
        limit=SINGLE_METRIC,
        reason=SINGLE_METRIC_REASON,
        detail=detail,
    )


def _explain_figure(subject: Subject, sides: Sequence[Side]) -> Found:
    """Why the port's own metric gives another figure: on the gate's cases, and on pictures that are less alike."""
    reference, port = sides
    if port.own("metric") is None or reference.own("metric") is not None:
        return Found()
    cases = {**_metric_cases(subject), "unlike pictures": _unlike_pictures(subject)}
    asked = []
    for name, (predictions, labels) in cases.items():
        actual, expected = (
            _measure(port, own, predictions, labels, subject.num_classes) for own in (port.own("metric"), None)
        )
        expected = _as_counted(actual, expected, predictions, labels, subject.num_classes)
        asked.append(Asked(name, {"mIoU": np.array(actual)}, {"mIoU": np.array(expected)}, SINGLE_METRIC))
    return explain(asked, propose_metrics(cases, subject.num_classes))


def _unlike_pictures(subject: Subject) -> Case:
    """Pictures of which each lacks a class and has its own share of wrong and of ignored pixels."""
    rng, classes = np.random.default_rng([subject.seed, 9]), subject.num_classes
    numbers = np.arange(3)[:, None, None]
    shares = (numbers + 1) / 5
    labels = (classes * rng.random((3, 32, 48)) ** (3 * shares)).astype(np.int64)
    predictions = np.where(rng.random(labels.shape) < shares, rng.integers(0, classes, labels.shape), labels)
    labels, predictions = (np.where(own == numbers, classes - 1, own) for own in (labels, predictions))
    return predictions, np.where(rng.random(labels.shape) < shares[::-1], IGNORED, labels)


def _as_counted(actual: float, expected: float, predictions: Array, labels: Array, classes: int) -> float:
    """`expected`, with the classes that do not occur counted as the port counts them: left out, or as 0.

    cityscapesScripts leaves them out, the official evaluation and PaddleSeg count 0. On Cityscapes val all occur.
    """
    occurring = len(np.unique(np.concatenate([predictions[labels != IGNORED], labels[labels != IGNORED]])))
    either = (expected, expected * occurring / classes, expected * classes / occurring)
    return min(either, key=lambda value: relative(actual, value))


def _metric_cases(subject: Subject) -> dict[str, Case]:
    """Good predictions of all classes, and of pictures in which some class is in no label and no prediction."""
    rng, classes = np.random.default_rng([subject.seed, 8]), subject.num_classes
    cases = {}
    for name, known in (("all classes", classes), (ABSENT, max(classes - 3, 1))):
        labels = rng.integers(0, known, (4, 64, 96))
        predictions = np.where(rng.random(labels.shape) < 0.3, rng.integers(0, known, labels.shape), labels)
        cases[name] = predictions, np.where(rng.random(labels.shape) < 0.1, IGNORED, labels)
    return cases


def _measure(side: Side, own: Any, predictions: Array, labels: Array, classes: int) -> float:
    """The mIoU by a side's own metric, which may give a confusion matrix, or by the toolkit's."""
    if own is None:
        return Score(count_confusion(predictions, labels, classes)).miou
    found = own(side.tensor(predictions), side.tensor(labels), classes)
    if found.shape == (classes, classes):
        return Score(np.rint(found).astype(np.int64)).miou
    return float(found.reshape(()))


def predict(subject: Subject, side: Side, pixels: Array) -> Array:
    """Pixels (H, W, 3) uint8 -> main logits (K, H, W), resized by the same exact matrices on both sides.

    Both networks are shown the reference's preprocessing: the port's own is for the gate "validation data".
    """
    images = preprocess(pixels, subject.preprocessing)[None]
    with side.without_gradients():
        outputs = side.model(side.tensor(images))
    logits = side.array(in_order(outputs)[0])[0]
    rows, columns = (
        interpolation_matrix(source, target, align_corners=side.align_corners)
        for source, target in zip(logits.shape[1:], pixels.shape[:2], strict=True)
    )
    return np.asarray(rows @ logits @ columns.T)


def _pixels(name: str, count: int) -> Check:
    reason = "in float64 the networks are 1e-12 apart, far less than any pixel's margin; counts are integers"
    return Check(name=name, measured=count, limit=EXACT, reason=reason)
