"""BatchNorm whose running variance is Paddle's: the biased one, (n - 1) / n of torch's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BiasedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` that keeps the very variance by which it divides, as `paddle.nn.BatchNorm2D` does."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not self.training or self.running_var is None or self.momentum is None:
            return super().forward(features)
        before = self.running_var.clone()
        output = super().forward(features)
        with torch.no_grad():
            taken = self.running_var - (1 - self.momentum) * before
            # Its data alone: the way back holds the buffer, and asks for no other of its values.
            self.running_var.data -= taken * (features.shape[1] / features.numel())
        return output


def bias(network: nn.Module) -> int:
    """Give every BatchNorm2d inside `network` the biased running variance, in place. Returns how many there are.

    bias(model)  # the reference of a network that was written for Paddle
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.__class__ = BiasedBatchNorm
    return len(norms)
