"""The confusion matrix and the figures that are read off it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cityscapes.labels import IGNORED, NAMES, NUM_CLASSES
from converter.names import count

Array = np.ndarray[Any, Any]

PIECE = 1 << 18
"""Pixels that are checked and joined before the next, while the processor's cache holds them."""


def count_confusion(prediction: Array, label: Array, num_classes: int = NUM_CLASSES) -> Array:
    """(num_classes, num_classes) int64: how many pixels of each label (row) got each prediction (column).

    Both arrays are train ids of one shape; pixels labelled `IGNORED` do not count. Raises ValueError if the
    shapes differ or any other value is no class.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"the prediction is {prediction.shape}, its label {label.shape}; they must have one shape")
    rows, columns = _integers(label), _integers(prediction)
    pairs = torch.empty(label.size, dtype=torch.int32)
    for row, column, pair in zip(*(values.split(PIECE) for values in (rows, columns, pairs)), strict=True):
        for ids in (row, column):
            _check(ids)
        torch.add(column, row.to(torch.promote_types(row.dtype, torch.int32)), alpha=256, out=pair)
    table = torch.bincount(pairs, minlength=1 << 16).numpy().reshape(256, 256)  # twice as fast as NumPy's
    counted = table[:num_classes, :num_classes]
    strange = label.size - int(table[IGNORED].sum()) - int(counted.sum())
    if strange:
        pixels = count(strange, "pixel", " has", " have")
        raise ValueError(f"{pixels} a label or prediction that is none of {num_classes} classes")
    return counted.copy()


def _integers(values: Array) -> Tensor:
    """`values` in a row, uint8 or int64."""
    dtype = np.uint8 if values.dtype == np.uint8 else np.int64
    # Writable, though nothing is written: torch warns of other memory, as Pillow's.
    return torch.from_numpy(np.require(values, dtype, ["C", "W"])).ravel()


def _check(ids: Tensor) -> None:
    """Raises ValueError if one is no train id."""
    if ids.dtype != torch.uint8:
        least, greatest = map(int, torch.aminmax(ids))
        if least < 0 or greatest > IGNORED:
            raise ValueError(f"values from {least} to {greatest} are no train ids, which are 0 … {IGNORED}")


@dataclass(frozen=True)
class Score:
    """Figures of a confusion matrix, as shares of 1."""

    confusion: Array

    @property
    def class_iou(self) -> Array:
        """(num_classes,): intersection over union; NaN for a class that is in no label and no prediction."""
        hits = np.diag(self.confusion).astype(np.float64)
        union = self.confusion.sum(0) + self.confusion.sum(1) - hits
        return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)

    @property
    def miou(self) -> float:
        """Mean over the classes that occur, as cityscapesScripts has it."""
        present = self.class_iou[~np.isnan(self.class_iou)]
        return float(present.mean()) if present.size else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that are right."""
        total = int(self.confusion.sum())
        return int(np.trace(self.confusion)) / total if total else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As `ccnet-eval --json` prints it; null for what no pixel tells."""
        return {
            "miou": _number(self.miou),
            "pixel_accuracy": _number(self.pixel_accuracy),
            "class_iou": dict(zip(NAMES, map(_number, self.class_iou.tolist()), strict=True)),
            "confusion": self.confusion.tolist(),
        }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
