"""Training data as a side's own code makes it: of charts, to see what is done to them, and batches to train on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from parity.certify.charts import Drawn, make_chart, read_chart, write_charts
from parity.certify.gate import NotRunError
from recipe.augmentation import Augmentation
from twins.tensors import flatten

Array = np.ndarray[Any, Any]
Pair = tuple[Array, Array]
"""An image (C, H, W) and its labels (H, W)."""

PATIENCE = 45.0
"""Seconds that are spent on draws."""
FULL_SIZE, SMALL_SIZE = (1024, 2048), (128, 256)
"""Of charts: Cityscapes' own, and an eighth, for augmentations whose crops are an eighth too."""


class ChartSource(ABC):
    """Whose augmentation is seen by charts. They are of `size`, crops are `shrunk` times smaller than in training."""

    size: tuple[int, int] = FULL_SIZE
    shrunk: int = 1
    most: int = 400
    """Draws that are looked at."""

    @abstractmethod
    def charts(self, folder: Path) -> Iterator[Pair]:
        """Augmented charts without end; `folder` is for files."""

    def draws(self, folder: Path) -> Drawn:
        """What was done to charts."""
        found, start = Drawn(), time.monotonic()
        for (image, labels), _ in zip(self.charts(folder), range(self.most), strict=False):
            draw = read_chart(image, labels, self.size)
            if draw is None:
                found.lost += 1
            else:
                found.draws.append(draw)
            found.labels.update(np.unique(labels).tolist())
            if time.monotonic() - start > PATIENCE:
                break
        return found


class Source(ChartSource):
    """Where training data come from."""

    @abstractmethod
    def batches(self, root: Path) -> Iterator[Pair]:
        """Training batches of the data set at `root`: images (N, C, H, W), labels (N, H, W)."""


class FunctionSource(Source):
    """A user's loader: a function of a folder in Cityscapes' layout that returns batches."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self.function = function

    def charts(self, folder: Path) -> Iterator[Pair]:
        root = folder / "charts"
        if not root.exists():
            write_charts(root, self.size)
        for images, labels in self.batches(root):
            yield from zip(images, labels, strict=True)

    def batches(self, root: Path) -> Iterator[Pair]:
        """Of as many epochs as are wanted."""
        for _ in count():
            empty = True
            for batch in self.function(str(root)):
                empty = False
                yield _as_arrays(batch)
            if empty:
                raise NotRunError("the port's own loader gives no batch")


class RecipeSource(ChartSource):
    """The recipe's augmentation, of `most` charts of this size."""

    def __init__(self, augmentation: Augmentation, size: tuple[int, int], most: int, *, seed: int) -> None:
        self.augmentation, self.size, self.most, self.seed = augmentation, size, most, seed

    def charts(self, folder: Path) -> Iterator[Pair]:
        charts = [make_chart(self.size, axis) for axis in (0, 1)]
        for number in count():
            yield self.augmentation(*charts[number % 2], np.random.default_rng([self.seed, number]))


def _as_arrays(batch: Any) -> Pair:
    """The images (N, C, H, W) and labels (N, H, W) among what a loader gives."""
    arrays = [np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor) for tensor in flatten(batch)]
    images = next((array for array in arrays if array.ndim == 4 and array.shape[1] != 1), None)
    maps = [array[:, 0] if array.ndim == 4 else array for array in arrays if array is not images]
    labels = next((array for array in maps if array.ndim == 3), None)
    if images is None or labels is None:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise NotRunError(f"the port's own loader gives {shapes or 'no arrays'}, not (N, C, H, W) and (N, H, W)")
    return images.astype(np.float64), labels.astype(np.int64)
