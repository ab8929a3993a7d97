"""The running variance is torch's; everything else is `nn.BatchNorm2D`'s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import models_paddle
from models_paddle.export import save_program
from models_paddle.norm import UnbiasedBatchNorm, unbias
from parity.certify.measure import noise_ratio
from twins.tolerances import FLOAT32_NOISE_RATIO

Array = np.ndarray[Any, Any]


def features(shape: tuple[int, ...] = (2, 3, 2, 3), seed: int = 0) -> Array:
    return 2 + 3 * np.random.default_rng(seed).standard_normal(shape)


def run(norm: Any, batch: Array, calls: int = 3) -> tuple[Array, Array, Array]:
    """Last output, running mean and variance after `calls` batches in train mode."""
    norm.to(dtype=str(batch.dtype))
    norm.train()
    for call in range(calls):
        output = norm(paddle.to_tensor(batch + batch.dtype.type(call)))
    return output.numpy(), norm._mean.numpy(), norm._variance.numpy()


def expected(batch: Array, momentum: float, calls: int = 3) -> tuple[Array, Array, Array]:
    norm = torch.nn.BatchNorm2d(batch.shape[1], momentum=1 - momentum, dtype=torch.from_numpy(batch).dtype)
    for call in range(calls):
        output = norm(torch.from_numpy(batch) + call)
    return output.detach().numpy(), norm.running_mean.numpy(), norm.running_var.numpy()


@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 4),
    side=st.integers(2, 5),
    momentum=st.sampled_from([0.9, 0.9997, 0.0, 0.5]),
)
def test_statistics_are_torchs(n: int, channels: int, side: int, momentum: float) -> None:
    batch = features((n, channels, side, side))
    found = run(UnbiasedBatchNorm(channels, momentum=momentum), batch)
    for actual, wanted, limit in zip(found, expected(batch, momentum), (1e-10, 1e-14, 1e-14), strict=True):
        assert np.abs(actual - wanted).max() <= limit * np.abs(wanted).max()


@pytest.mark.parametrize(("kind", "unbiased"), [(UnbiasedBatchNorm, True), (paddle.nn.BatchNorm2D, False)])
def test_float32_statistics_are_torchs_within_its_rounding(kind: type, *, unbiased: bool) -> None:
    """By how far torch's own float32 is from float64, and the biased variance is beyond it."""
    _, *found = run(kind(3), features().astype(np.float32))
    _, *rounded = expected(features().astype(np.float32), 0.9)
    _, *exact = expected(features(), 0.9)
    assert [value.dtype for value in found] == [np.float32] * 2
    ratios = [noise_ratio(*arrays) for arrays in zip(found, rounded, exact, strict=True)]
    assert [ratio <= FLOAT32_NOISE_RATIO for ratio in ratios] == [True, unbiased]


def test_plain_batch_norm_is_biased() -> None:
    """The mistake that the class mends: 1 / n of the batch's share is missing."""
    plain, wanted = run(paddle.nn.BatchNorm2D(3), features())[2], expected(features(), 0.9)[2]
    assert np.abs(plain / wanted - 1).min() > 1e-3


def test_outputs_and_gradients_are_the_kernels() -> None:
    results = []
    for kind in (UnbiasedBatchNorm, paddle.nn.BatchNorm2D):
        norm = kind(3)
        norm.to(dtype="float64")
        batch = paddle.to_tensor(features(), stop_gradient=False)
        output = norm(norm(batch))  # twice: the second call must not disturb the first one's gradient
        (output**3).sum().backward()
        results.append([output.numpy(), batch.grad.numpy(), norm.weight.grad.numpy()])
    for ours, theirs in zip(*results, strict=True):
        assert np.array_equal(ours, theirs)


def test_evaluation_changes_nothing() -> None:
    norm = UnbiasedBatchNorm(3)
    norm.eval()
    before = norm._mean.numpy(), norm._variance.numpy()
    norm(paddle.to_tensor(features().astype(np.float32)))
    assert np.array_equal(before, (norm._mean.numpy(), norm._variance.numpy()))


def test_a_failing_batch_leaves_the_statistics() -> None:
    norm = UnbiasedBatchNorm(3)
    with pytest.raises(ValueError, match=r".*"):
        norm(paddle.zeros([2, 4, 2, 2]).reshape([2, -1]))
    assert set(norm.state_dict()) == {"weight", "bias", "_mean", "_variance"}
    assert norm._momentum == 0.9
    assert np.array_equal(norm._variance.numpy(), np.ones(3))


def test_unbias_a_finished_network() -> None:
    network = paddle.nn.Sequential(paddle.nn.Conv2D(3, 3, 1), paddle.nn.BatchNorm2D(3), paddle.nn.BatchNorm2D(3))
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    assert unbias(network) == 2
    assert unbias(network) == 0
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(after[name].numpy(), value) for name, value in before.items())
    assert np.allclose(run(network[1], features())[2], expected(features(), 0.9)[2], rtol=1e-12)


def test_a_network_with_it_can_be_saved(tmp_path: Path) -> None:
    network = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 1), paddle.nn.BatchNorm2D(4))
    unbias(network)
    batch = paddle.to_tensor(features((2, 3, 4, 4)).astype(np.float32))
    network(batch)
    network.eval()
    save_program(network, [None, 3, None, None], tmp_path / "program")
    loaded = paddle.jit.load(str(tmp_path / "program"))
    assert np.array_equal(loaded(batch).numpy(), network(batch).numpy())


def test_the_twin_trains_with_it() -> None:
    network = models_paddle.build_ccnet("official", depth=18, num_classes=3)
    norms = [layer for layer in network.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    assert norms
    assert all(isinstance(layer, UnbiasedBatchNorm) for layer in norms)
