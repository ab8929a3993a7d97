"""The biased running variance of Paddle's BatchNorm, in torch."""

from __future__ import annotations

import numpy as np
import torch

from models_paddle import paddle
from models_torch.norm import bias


def test_the_statistics_are_paddles() -> None:
    batch = np.random.default_rng(0).normal(1, 3, (2, 4, 5, 5))
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(4)).double()
    assert bias(network) == 1
    features = torch.from_numpy(batch).requires_grad_()
    network(features).square().sum().backward()  # the way back needs nothing that was overwritten
    theirs = paddle.nn.BatchNorm2D(4, momentum=0.9)
    theirs.to(dtype="float64")
    theirs(paddle.to_tensor(batch))
    norm = network[0]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    np.testing.assert_allclose(norm.running_mean.numpy(), theirs._mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(norm.running_var.numpy(), theirs._variance.numpy(), rtol=1e-6)
    network.eval()
    assert torch.equal(network(features), network(features))
