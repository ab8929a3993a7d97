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

    Each is a mean over the pixels that are not `ignore_index`: NaN where there are none.
    """

    def __init__(
        self,
        *,
        align_corners: bool = True,
        ignore_index: int = IGNORE_INDEX,
        auxiliary_weight: float = AUXILIARY_WEIGHT,
    ) -> None:
        super().__init__()
        self.align_corners, self.ignore_index, self.auxiliary_weight = align_corners, ignore_index, auxiliary_weight

    def forward(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """Logits and auxiliary logits (N, K, h, w), labels (N, H, W) int64 -> a scalar of the logits' dtype."""
        size = (labels.shape[1], labels.shape[2])
        logits, auxiliary = (resize_logits(output, size, align_corners=self.align_corners) for output in outputs)
        loss = self.mean_loss(logits, self.select(logits, labels))
        return loss + self.auxiliary_weight * self.mean_loss(auxiliary, labels)

    def select(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The labels that the main loss counts: all of them."""
        return labels

    def mean_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (N, K, H, W), labels (N, H, W) -> a scalar."""
        return functional.cross_entropy(logits, labels, ignore_index=self.ignore_index)


class OhemCrossEntropy(CrossEntropy):
    """Cross-entropy whose main term counts hard pixels only (`CriterionOhemDSN`); the auxiliary one counts all."""

    def __init__(
        self,
        mining: Mining,
        *,
        align_corners: bool = True,
        ignore_index: int = IGNORE_INDEX,
        auxiliary_weight: float = AUXILIARY_WEIGHT,
    ) -> None:
        super().__init__(align_corners=align_corners, ignore_index=ignore_index, auxiliary_weight=auxiliary_weight)
        self.mining = mining

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
