"""Mistakes in a metric: pixels counted otherwise, or another mean of what was counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from cityscapes.labels import IGNORED
from parity.certify.causes.engine import Array, Hypothesis, Numbers

Case = tuple[Array, Array]
"""Predictions and labels, class numbers (N, H, W)."""
Count = Callable[[Array, Array, int], Array]
"""Predictions and labels of one picture, and the number of classes -> (rows, columns) pixels [label, prediction]."""
Mean = Callable[[Array, bool], float]
"""Tables (N, rows, columns), and whether a class that does not occur counts as 0 -> the figure."""
FIX = "the mean over the classes of hits / union, of one table of all pictures, pixels labelled 255 left out"


def count(predictions: Array, labels: Array, classes: int) -> Array:
    """As the reference counts; labels may be one class more, void."""
    valid = labels != IGNORED
    rows = classes + 1
    pairs = labels[valid].astype(np.int64) * rows + predictions[valid]
    return np.bincount(pairs, minlength=rows * rows).reshape(rows, rows)


def _counts_void_as(label: int) -> Count:
    def counted(predictions: Array, labels: Array, classes: int) -> Array:
        return count(predictions, np.where(labels == IGNORED, label % (classes + 1), labels), classes)

    return counted


def _leaves_out(label: int) -> Count:
    def counted(predictions: Array, labels: Array, classes: int) -> Array:
        return count(predictions, np.where(labels == label % classes, IGNORED, labels), classes)

    return counted


def _transposed(predictions: Array, labels: Array, classes: int) -> Array:
    return count(predictions, labels, classes).T


def _iou(tables: Array, zero: bool) -> float:
    return _over_classes(*_areas(tables), zero)


def _areas(tables: Array) -> tuple[Array, Array]:
    """Hits and unions of all pictures, without the class void where nothing is of it."""
    table = tables.sum(0).astype(np.float64)
    hits = np.diag(table)
    union = table.sum(0) + table.sum(1) - hits
    known = len(hits) if union[-1] else len(hits) - 1
    return hits[:known], union[:known]


def _over_classes(hits: Array, whole: Array, zero: bool) -> float:
    """The mean share of hits, of all classes or of those that occur."""
    shares = hits / np.maximum(whole, 1)
    return float(shares.mean() if zero else shares[whole > 0].mean())


def _by_picture(tables: Array, zero: bool) -> float:
    return float(np.mean([_iou(table[None], zero) for table in tables]))


def _by_class_and_picture(tables: Array, zero: bool) -> float:
    """Each class's mean over the pictures that have it, then the mean over classes."""
    hits, unions = (np.stack(parts) for parts in zip(*(_areas_of_all(table) for table in tables), strict=True))
    shares = np.where(unions > 0, hits / np.maximum(unions, 1), np.nan)
    seen = (unions > 0).any(0)
    own = np.nanmean(shares[:, seen], axis=0)
    return float(own.sum() / (len(seen) if zero else seen.sum()))


def _areas_of_all(table: Array) -> tuple[Array, Array]:
    hits = np.diag(table).astype(np.float64)[:-1]
    return hits, (table.sum(0) + table.sum(1))[:-1] - hits


def _accuracy(tables: Array, zero: bool) -> float:
    table = tables.sum(0)
    return float(np.trace(table) / table.sum())


def _of_classes(axis: int) -> Mean:
    """Hits over the labels of each class (1), or over its predictions (0)."""

    def mean(tables: Array, zero: bool) -> float:
        hits, union = _areas(tables)
        whole = tables.sum(0).sum(axis).astype(np.float64)[: len(hits)]
        return float((hits / np.maximum(whole, 1)).sum() / (len(hits) if zero else (union > 0).sum()))

    return mean


def _dice(tables: Array, zero: bool) -> float:
    hits, union = _areas(tables)
    return _over_classes(2 * hits, union + hits, zero)


def _by_frequency(tables: Array, zero: bool) -> float:
    hits, union = _areas(tables)
    labels = tables.sum(0).sum(1)[: len(hits)]
    return float((labels * hits / np.maximum(union, 1)).sum() / labels.sum())


def _one_where_absent(tables: Array, zero: bool) -> float:
    hits, union = _areas(tables)
    return float(np.where(union > 0, hits / np.maximum(union, 1), 1.0).mean())


def _without(label: int) -> Mean:
    def mean(tables: Array, zero: bool) -> float:
        hits, union = (np.delete(one, label) for one in _areas(tables))
        return _over_classes(hits, union, zero)

    return mean


def _percent(tables: Array, zero: bool) -> float:
    return 100 * _iou(tables, zero)


def _with_void(tables: Array, zero: bool) -> float:
    """The mean over one class more, which nothing is of."""
    hits, union = _areas(tables)
    return _over_classes(np.append(hits, 0.0), np.append(union, 1.0), zero)


@dataclass(frozen=True)
class _Way:
    """A mistake: what it is called, what the port does, and how it counts or averages."""

    name: str
    text: str
    count: Count = count
    mean: Mean = _iou


COUNTS = (
    _Way("void counted", "pixels labelled 255 count as class 0", _counts_void_as(0)),
    _Way("void counted", "pixels labelled 255 count as the last class", _counts_void_as(-2)),
    _Way("class left out", "pixels labelled 0 are ignored too", _leaves_out(0)),
    _Way("class left out", "pixels of the last class are ignored too", _leaves_out(-1)),
    _Way("table transposed", "the table's rows are predictions, the reference's are labels", _transposed),
)
"""What a table shows."""
MEANS = (
    _Way("void counted", "pixels labelled 255 count as a class of their own", _counts_void_as(-1)),
    _Way("mean by picture", "it is the mean of each picture's mean IoU", mean=_by_picture),
    _Way("mean by picture", "each class's IoU is the mean of those of the pictures", mean=_by_class_and_picture),
    _Way("accuracy", "it is the share of pixels that are right", mean=_accuracy),
    _Way("class accuracy", "it divides by the labels of each class, not by the union", mean=_of_classes(1)),
    _Way("precision", "it divides by the predictions of each class, not by the union", mean=_of_classes(0)),
    _Way("Dice", "it is the mean Dice coefficient (F1), 2 hits over labels and predictions", mean=_dice),
    _Way("frequency weighted", "classes weigh as many pixels as are labelled so", mean=_by_frequency),
    _Way("absent classes", "a class that does not occur counts as 1", mean=_one_where_absent),
    _Way("class left out", "class 0 is left out of the mean", mean=_without(0)),
    _Way("class left out", "the last class is left out of the mean", mean=_without(-1)),
    _Way("number of classes", "the mean is over one class more than there are", mean=_with_void),
    _Way("percent", "it is in per cent", mean=_percent),
)
"""What a figure alone shows."""


def propose_tables(cases: Mapping[str, Case], classes: int) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in the tables of `cases`, under "pixels"."""

    def hypothesis(way: _Way) -> Hypothesis:
        def repeat(key: str) -> Numbers:
            table = way.count(*cases[key], classes)
            return {"pixels": table[:classes, :classes]}

        return Hypothesis(name=way.name, text=way.text, fix=FIX, repeat=repeat)

    yield map(hypothesis, COUNTS)


def propose_metrics(cases: Mapping[str, Case], classes: int) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in the figure of `cases`, under "mIoU": one; one in counting and one in the mean."""

    def hypothesis(own: Count, mean: Mean, zero: bool, name: str, text: str) -> Hypothesis:
        def repeat(key: str) -> Numbers:
            tables = np.stack([own(*picture, classes) for picture in zip(*cases[key], strict=True)])
            return {"mIoU": np.array(mean(tables, zero))}

        return Hypothesis(name=name, text=text, fix=FIX, repeat=repeat)

    ones = [way for way in (*COUNTS, *MEANS) if way.count is not _transposed]
    yield (hypothesis(way.count, way.mean, zero, way.name, way.text) for way, zero in product(ones, (False, True)))
    counts, means = ([way for way in ones if (way.mean is _iou) == of_counts] for of_counts in (True, False))
    yield (
        hypothesis(left.count, right.mean, zero, f"{left.name} and {right.name}", f"{left.text}; and {right.text}")
        for left, right, zero in product(counts, means, (False, True))
    )
