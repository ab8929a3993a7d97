"""Batches of a training set, in torch's loader."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader

from recipe.dataset import TrainingSet


def make_loader(dataset: TrainingSet, *, batch: int, workers: int = 0) -> Any:
    """Images (batch, 3, H, W) float32 and labels (batch, H, W) int64, in the set's own order; no partial batch."""
    return DataLoader(dataset, batch_size=batch, shuffle=False, num_workers=workers, drop_last=True)  # type: ignore[arg-type]
