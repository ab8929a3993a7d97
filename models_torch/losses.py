"""Training criteria of the official CCNet (speedinghzl/CCNet, loss/criterion.py): the same in both twins."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipe.interpolation import interpolation_matrix
from recipe.ohem import Mining

IGNORE_INDEX = 255
AUXILIARY_WEIGHT = 0.4

Outputs = tuple[Tensor, Tensor]


class CrossEntropy(nn.Module):
    """Cross-entropy of the logits plus a share of the auxiliary logits', both resized to the labels (`CriterionDSN`).

    Each is a mean over the pixels that are not `ignore_index`: NaN where there are none. `epsilon` is added to the
    share of such pixels, in the denominator, as PaddleSeg does (models/losses/cross_entropy_loss.py), in float32.
    With `ignored_in_mean` all pixels are counted there, as by mmsegmentation (models/losses/cross_entropy_loss.py,
    where `avg_non_ignore` is off).
    """

    def __init__(
        self,
        *,
        align_corners: bool = True,
        ignore_index: int = IGNORE_INDEX,
        auxiliary_weight: float = AUXILIARY_WEIGHT,
        epsilon: float = 0.0,
        ignored_in_mean: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners, self.ignore_index, self.auxiliary_weight = align_corners, ignore_index, auxiliary_weight
        self.epsilon = self.main_epsilon = epsilon
        self.ignored_in_mean = ignored_in_mean

    def forward(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """Logits and auxiliary logits (N, K, h, w), labels (N, H, W) int64 -> a scalar of the logits' dtype."""
        size = (labels.shape[1], labels.shape[2])
        logits, auxiliary = (resize_logits(output, size, align_corners=self.align_corners) for output in outputs)
        chosen = self.select(logits, labels)
        loss = self.mean_loss(logits, chosen) * self._damping(chosen, self.main_epsilon)
        return loss + self.auxiliary_weight * (self.mean_loss(auxiliary, labels) * self._damping(labels, self.epsilon))

    def select(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The labels that the main loss counts: all of them."""
        return labels

    def mean_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (N, K, H, W), labels (N, H, W) -> a scalar."""
        reduction = "none" if self.ignored_in_mean else "mean"
        return functional.cross_entropy(logits, labels, ignore_index=self.ignore_index, reduction=reduction).mean()

    def _damping(self, labels: Tensor, epsilon: float) -> float:
        """What a mean over the pixels that count is multiplied by, for an epsilon in its denominator."""
        if not epsilon:
            return 1.0
        counts = labels != self.ignore_index
        return float(counts.double().mean()) / float(counts.float().mean() + epsilon)


class OhemCrossEntropy(CrossEntropy):
    """Cross-entropy whose main term counts hard pixels only (`CriterionOhemDSN`); the auxiliary one counts all.

    `mining_epsilon` is the `epsilon` of the main term.
    """

    def __init__(
        self,
        mining: Mining,
        *,
        align_corners: bool = True,
        ignore_index: int = IGNORE_INDEX,
        auxiliary_weight: float = AUXILIARY_WEIGHT,
        epsilon: float = 0.0,
        mining_epsilon: float = 0.0,
        ignored_in_mean: bool = False,
    ) -> None:
        super().__init__(
            align_corners=align_corners,
            ignore_index=ignore_index,
            auxiliary_weight=auxiliary_weight,
            epsilon=epsilon,
            ignored_in_mean=ignored_in_mean,
        )
        self.mining, self.main_epsilon = mining, mining_epsilon

    def select(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The labels of hard pixels, `ignore_index` elsewhere."""
        probabilities = torch.softmax(logits.detach(), 1).cpu().numpy()
        kept = self.mining.select(probabilities, labels.cpu().numpy(), ignore_index=self.ignore_index)
        return torch.from_numpy(kept).to(labels.device)


def resize_logits(logits: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """(N, K, h, w) -> (N, K, *size), bilinear; of that size already, they stay as they are."""
    if logits.shape[2:] == size:
        return logits
    rows, columns = (
        torch.from_numpy(interpolation_matrix(source, target, align_corners=align_corners)).to(logits)
        for source, target in zip(logits.shape[2:], size, strict=True)
    )
    return rows @ logits @ columns.mT
