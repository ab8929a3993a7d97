"""BatchNorm whose running variance is torch's: Paddle's own is the biased one, (n - 1) / n of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
from paddle import Tensor, nn


class UnbiasedBatchNorm(nn.BatchNorm2D):
    """`nn.BatchNorm2D` that keeps the unbiased variance of each batch, n / (n - 1) times the one it divides by.

    A drop-in for training a port: its parameters, buffers and outputs are those of `nn.BatchNorm2D`. Where a
    batch has n = N * H * W pixels per channel, Paddle's own running variance is 1 / n too small for the
    population's, and a network trained with it drifts from torch's. See `unbias` for a network that is
    already built, such as PaddleSeg's.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        # Not super(): Paddle's tracer would not find it.
        if not self.training:
            return nn.BatchNorm2D.forward(self, features)
        return _train_unbiased(self, nn.BatchNorm2D.forward, features, processes=1)


class UnbiasedSyncBatchNorm(nn.SyncBatchNorm):
    """The same of `nn.SyncBatchNorm`, whose n is the pixels of all processes."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not self.training:
            return nn.SyncBatchNorm.forward(self, features)
        processes = paddle.distributed.get_world_size()
        return _train_unbiased(self, nn.SyncBatchNorm.forward, features, processes=processes)


def unbias(network: nn.Layer) -> int:
    """Give every BatchNorm2D and SyncBatchNorm inside `network` the unbiased running variance, in place.

    Parameters, buffers, names and hooks stay as they are. Returns how many layers were changed.
    """
    classes: dict[type, type] = {nn.BatchNorm2D: UnbiasedBatchNorm, nn.SyncBatchNorm: UnbiasedSyncBatchNorm}
    changed = [layer for layer in network.sublayers(include_self=True) if type(layer) in classes]
    for layer in changed:
        layer.__class__ = classes[type(layer)]
    return len(changed)


def _train_unbiased(norm: Any, forward: Callable[[Any, Tensor], Tensor], features: Tensor, *, processes: int) -> Tensor:
    """`forward`, and the update of the running statistics, which the kernel is kept from doing.

    With a momentum of zero it leaves the batch's own mean and biased variance in the tensors it is given.
    The update is then done with the momentum as it is: the kernel would round it to float32.
    """
    mean, variance, kept = norm._mean, norm._variance, norm._momentum
    own = norm._parameters  # Paddle has the statistics there, and lets no attribute replace them
    own["_mean"], own["_variance"] = paddle.zeros_like(mean), paddle.zeros_like(variance)
    norm._momentum = 0.0
    try:
        output = forward(norm, features)
        count = processes * features.size // features.shape[1]
        share = (1 - kept) * count / max(count - 1, 1)  # of one value there is no unbiased variance
        with paddle.no_grad():
            paddle.assign(kept * mean + (1 - kept) * own["_mean"], mean)
            paddle.assign(kept * variance + share * own["_variance"], variance)
    finally:
        own["_mean"], own["_variance"], norm._momentum = mean, variance, kept
    return output
