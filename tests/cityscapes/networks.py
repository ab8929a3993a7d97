"""Small networks for the evaluation's tests."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from cityscapes.networks import NETWORKS, Network
from tests.parity.small_twins import make_twins


@functools.lru_cache(maxsize=2)
def make_networks(family: str = "mmseg") -> dict[str, Network]:
    """Both twins at depth 18, of one stand-in checkpoint."""
    return {name: NETWORKS[name](twin) for name, twin in zip(NETWORKS, make_twins(family=family), strict=True)}


class Linear(nn.Module):
    """A network that can be followed by hand: an average over `cell` × `cell` pixels, and 19 weighted sums."""

    def __init__(self, cell: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(19, 3, generator=torch.Generator().manual_seed(0)).double())
        self.cell = cell

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        pooled = nn.functional.avg_pool2d(images, self.cell, ceil_mode=True)
        return torch.einsum("kc,nchw->nkhw", self.weight.to(pooled.dtype), pooled), None
