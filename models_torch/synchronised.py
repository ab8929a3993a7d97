"""BatchNorm over the batches of all processes, on any device: `nn.SyncBatchNorm` needs a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from models_torch.layers import BatchNorm


class SynchronisedBatchNorm(BatchNorm):
    """Train mode with the mean and variance of every process's pixels, and their gradients."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W), N of this process -> (N, C, H, W)."""
        if not self.training:
            return super().forward(features)
        count = features.numel() // features.shape[1]
        total = int(sum_processes(torch.tensor([float(count)], dtype=torch.float64, device=features.device)))
        mean = sum_processes(features.sum([0, 2, 3])) / total
        centred = features - mean.reshape(1, -1, 1, 1)
        variance = sum_processes((centred**2).sum([0, 2, 3])) / total
        self.update(mean.detach(), variance.detach(), total)
        scale = self.weight / torch.sqrt(variance + self.eps)
        return centred * scale.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)

    def update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards the batch's, the variance unbiased."""
        kept = 1 - float(self.momentum or 0.0)
        assert self.running_mean is not None
        assert self.running_var is not None
        with torch.no_grad():
            self.running_mean.copy_(kept * self.running_mean + (1 - kept) * mean)
            self.running_var.copy_(kept * self.running_var + (1 - kept) * count / max(count - 1, 1) * variance)


class SumProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return SumProcesses.forward(context, gradient.contiguous())


def sum_processes(tensor: Tensor) -> Tensor:
    """`SumProcesses` of a tensor of any shape."""
    return SumProcesses.apply(tensor)


def synchronise(network: nn.Module) -> int:
    """Make every BatchNorm inside `network` synchronised, in place. Returns how many there are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.__class__ = SynchronisedBatchNorm
    return len(norms)
