"""Metrics of porters, each with its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
