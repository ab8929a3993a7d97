"""Metrics of porters, each with its cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.certify.causes.engine import Asked, explain
from parity.certify.causes.metrics import propose_metrics
from parity.certify.gate import Outcome
from tests.parity.certify.cases import make_subject, outcome_of


def areas(predictions: Any, labels: Any, known: Any, classes: int) -> Any:
    """Intersection and union of each class, pixel by pixel where `known`."""
    predictions, labels = predictions.numpy(), labels.numpy()
    hits = [float(((predictions == k) & (labels == k) & known).sum()) for k in range(classes)]
    unions = [float((((predictions == k) | (labels == k)) & known).sum()) for k in range(classes)]
    return np.array(hits), np.array(unions)


def void_is_road(predictions: Any, labels: Any, classes: int) -> Any:
    labels = labels.clone()
    labels[labels == 255] = 0
    hits, unions = areas(predictions, labels, True, classes)
    return (hits / np.maximum(unions, 1)).mean()


def one_by_one(predictions: Any, labels: Any, classes: int) -> Any:
    found = []
    for own, wanted in zip(predictions, labels, strict=True):
        hits, unions = areas(own, wanted, wanted.numpy() != 255, classes)
        found.append(np.mean([hit / union for hit, union in zip(hits, unions, strict=True) if union]))
    return np.mean(found)


def recall(predictions: Any, labels: Any, classes: int) -> Any:
    known = labels.numpy() != 255
    hits, _ = areas(predictions, labels, known, classes)
    totals = np.array([float((labels.numpy()[known] == k).sum()) for k in range(classes)])
    return (hits[totals > 0] / totals[totals > 0]).mean()


def without_road(predictions: Any, labels: Any, classes: int) -> Any:
    """In per cent, and the first class is no class."""
    hits, unions = areas(predictions, labels, labels.numpy() != 255, classes)
    return 100 * np.mean([hits[k] / unions[k] for k in range(1, classes) if unions[k]])


def void_is_road_by_picture(predictions: Any, labels: Any, classes: int) -> Any:
    return np.mean(
        [void_is_road(own[None], wanted[None], classes) for own, wanted in zip(predictions, labels, strict=True)]
    )


def squared(predictions: Any, labels: Any, classes: int) -> Any:
    """Nothing that is known."""
    hits, unions = areas(predictions, labels, labels.numpy() != 255, classes)
    return (hits[unions > 0] / unions[unions > 0]).mean() ** 2


def explained(function: str, folder: Path) -> Outcome:
    parts = {"metric": f"{__name__}:{function}"}
    return outcome_of("metric", make_subject(folder, port="tests.parity.renamed_port:build", parts=parts))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("void_is_road", "void counted"),
        ("one_by_one", "mean by picture"),
        ("recall", "class accuracy"),
        ("void_is_road_by_picture", "void counted and mean by picture"),
    ],
)
def test_the_cause_of_another_figure(function: str, name: str, tmp_path: Path) -> None:
    outcome = explained(function, tmp_path)
    assert outcome.verdict == "failed"
    assert outcome.cause is not None
    assert outcome.cause.name == name
    assert outcome.cause.proved


@pytest.mark.parametrize("function", ["squared", "without_road"])
def test_what_no_known_mistake_repeats_has_no_cause(function: str, tmp_path: Path) -> None:
    """Two mistakes in the mean are one too many."""
    outcome = explained(function, tmp_path)
    assert outcome.verdict == "failed"
    assert outcome.cause is None
    assert outcome.tried > 20


def by_class(predictions: Any, labels: Any, k: int) -> tuple[int, int, int]:
    """Hits, labels and predictions of a class."""
    known = labels != 255
    own, wanted = (predictions == k) & known, (labels == k) & known
    return int((own & wanted).sum()), int(wanted.sum()), int(own.sum())


def mean_of(share: Callable[[int, int, int], float], first: int = 0) -> Callable[[Any, Any], float]:
    return lambda p, y: float(np.mean([share(*by_class(p, y, k)) for k in range(first, CLASSES)]))


def iou(hits: int, labels: int, predictions: int) -> float:
    return hits / max(labels + predictions - hits, 1)


CLASSES = 6
FIGURES: dict[str, tuple[Callable[[Any, Any], float], str]] = {
    "precision": (mean_of(lambda hits, labels, predictions: hits / max(predictions, 1)), "precision"),
    "F1": (mean_of(lambda hits, labels, predictions: 2 * hits / max(labels + predictions, 1)), "Dice"),
    "accuracy": (lambda p, y: float((p == y)[y != 255].mean()), "accuracy"),
    "percent": (lambda p, y: 100 * mean_of(iou)(p, y), "percent"),
    "without the first": (mean_of(iou, first=1), "class left out"),
    "one more": (lambda p, y: mean_of(iou)(p, y) * CLASSES / (CLASSES + 1), "number of classes"),
    "present": (
        mean_of(lambda hits, labels, predictions: iou(hits, labels, predictions) if labels + predictions else 1.0),
        "absent classes",
    ),
    "weighted": (
        lambda p, y: sum(by_class(p, y, k)[1] * iou(*by_class(p, y, k)) for k in range(CLASSES)) / (y != 255).sum(),
        "frequency weighted",
    ),
    "zero ignored": (lambda p, y: mean_of(iou)(p, np.where(y == 0, 255, y)), "class left out"),
}


@pytest.mark.parametrize("which", FIGURES)
def test_a_figure_is_told_from_all_others(which: str) -> None:
    figure, name = FIGURES[which]
    rng = np.random.default_rng(3)
    cases = {}
    for case, most in (("all", CLASSES), ("some", CLASSES - 2)):
        labels = rng.integers(0, most, (3, 20, 30))
        predictions = np.where(rng.random(labels.shape) < 0.3, rng.integers(0, most, labels.shape), labels)
        cases[case] = predictions, np.where(rng.random(labels.shape) < 0.2, 255, labels)
    asked = [
        Asked(case, {"mIoU": np.array(figure(*pair))}, {"mIoU": np.array(mean_of(iou)(*pair))}, 1e-9)
        for case, pair in cases.items()
    ]
    cause = explain(asked, propose_metrics(cases, CLASSES)).cause
    assert cause is not None
    assert cause.name == name
