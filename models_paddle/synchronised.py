"""BatchNorm over the batches of all processes, on any device: `nn.SyncBatchNorm` has no kernel for CPUs."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor, distributed, nn
from paddle.autograd import PyLayer

from models_paddle.layers import BatchNorm
from models_paddle.norm import UnbiasedBatchNorm


class SynchronisedBatchNorm(BatchNorm):
    """Train mode with the mean and variance of every process's pixels, and their gradients."""

    unbiased = True
    """Whether the running variance is torch's, or Paddle's own."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W), N of this process -> (N, C, H, W)."""
        if not self.training:
            return super().forward(features)
        count = features.size // features.shape[1]
        total = int(sum_processes(paddle.to_tensor([float(count)], dtype="float64")))
        mean = sum_processes(features.sum([0, 2, 3])) / total
        centred = features - mean.reshape([1, -1, 1, 1])
        variance = sum_processes((centred**2).sum([0, 2, 3])) / total
        self.update(mean.detach(), variance.detach(), total)
        scale = self.weight / paddle.sqrt(variance + paddle.full_like(variance, self._epsilon))
        return centred * scale.reshape([1, -1, 1, 1]) + self.bias.reshape([1, -1, 1, 1])

    def update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards the batch's."""
        kept = self._momentum
        share = (1 - kept) * (count / max(count - 1, 1) if self.unbiased else 1)
        with paddle.no_grad():
            paddle.assign(kept * self._mean + (1 - kept) * mean, self._mean)
            paddle.assign(kept * self._variance + share * variance, self._variance)


class SumProcesses(PyLayer):
    """Sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return SumProcesses.forward(context, gradient)


def sum_processes(tensor: Tensor) -> Tensor:
    """`SumProcesses` of a tensor of any shape."""
    return SumProcesses.apply(tensor)


def synchronise(network: nn.Layer) -> int:
    """Make every BatchNorm inside `network` synchronised, in place; each keeps its rule for the running variance.

    Returns how many there are.
    """
    norms = [layer for layer in network.sublayers(include_self=True) if isinstance(layer, nn.BatchNorm2D)]
    for norm in norms:
        unbiased = isinstance(norm, UnbiasedBatchNorm)
        norm.__class__ = SynchronisedBatchNorm
        norm.unbiased = unbiased
    return len(norms)
