"""Which pixels online hard example mining keeps (speedinghzl/CCNet, loss/loss.py, `OhemCrossEntropy2d`).

PaddleSeg's (models/losses/ohem_cross_entropy_loss.py) is the same with `factor=1` and without `inclusive`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Mining:
    """Keep the pixels whose probability of their own class is at most a threshold, or below it unless `inclusive`.

    The threshold is `threshold`, or higher where fewer than `min_kept` pixels would stay. It is sought on a
    map subsampled `factor` times each way, with `min_kept` divided by `factor` squared: (769, 769) pixels of
    19 classes are too many to sort at each step.
    """

    threshold: float = 0.7
    min_kept: int = 100_000
    factor: int = 8
    inclusive: bool = True

    def select(self, probabilities: Array, labels: Array, *, ignore_index: int) -> Array:
        """`labels` (N, H, W), integer, with `ignore_index` at every pixel that is not kept.

        `probabilities` (N, K, H, W) are the softmax of the logits at the labels' size.
        """
        threshold = self.find_threshold(probabilities, labels, ignore_index=ignore_index)
        valid = labels != ignore_index
        own = _own_class(probabilities, np.where(valid, labels, 0))
        kept = own <= threshold if self.inclusive or threshold == 1 else own < threshold
        return np.where(valid & kept, labels, ignore_index)

    def find_threshold(self, probabilities: Array, labels: Array, *, ignore_index: int) -> float:
        """The greatest probability that is kept; 1 where the subsampled map has no more than enough pixels."""
        share = 1.0 / self.factor
        coarse = ndimage.zoom(probabilities, (1.0, 1.0, share, share), order=1)
        coarse_labels = ndimage.zoom(labels, (1.0, share, share), order=0)
        valid = coarse_labels != ignore_index
        enough = self.min_kept // self.factor**2
        if enough >= valid.sum():
            return 1.0
        if not enough:
            return self.threshold
        own = _own_class(coarse, np.where(valid, coarse_labels, 0))[valid]
        return max(float(np.partition(own, enough - 1)[enough - 1]), self.threshold)


def _own_class(probabilities: Array, labels: Array) -> Array:
    """(N, H, W): each pixel's probability of the class that `labels` gives it."""
    return np.take_along_axis(probabilities, labels[:, None].astype(np.int64), 1)[:, 0]
