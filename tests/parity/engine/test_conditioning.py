"""A network that amplifies rounding is not accused for that; a coarser precision inside it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models_paddle import paddle
from parity import compare_models

LEVEL = 1000.0
WIDTH = 8
IMAGES = np.random.default_rng(0).integers(-8, 9, (16, WIDTH)).astype(np.float32) / 16
"""Of numbers for which the reference rounds nothing, and so has no errors of its own."""


class TorchShift(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - LEVEL


class PaddleShift(paddle.nn.Layer):
    def forward(self, x: Any) -> Any:
        return x - LEVEL


class Tenths(paddle.nn.Linear):
    """Rounds once more than it must."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) * 1.1 / 1.1


class Half(paddle.nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x).astype("float16").astype(x.dtype)


def compare(layer: Any, **options: Any) -> Any:
    linear = nn.Linear(WIDTH, WIDTH)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(WIDTH))
        linear.bias.fill_(LEVEL)
    own = layer(WIDTH, WIDTH)
    own.weight.set_value(np.eye(WIDTH, dtype=np.float32))
    own.bias.set_value(np.full(WIDTH, LEVEL, np.float32))
    port = paddle.nn.Sequential(own, PaddleShift())
    return compare_models(nn.Sequential(linear, TorchShift()), port, IMAGES, **options)


@pytest.mark.parametrize("mode", ["free", "both"])
def test_ordinary_rounding_that_is_amplified(mode: str) -> None:
    report = compare(Tenths, mode=mode)
    assert report, report.summary
    judged = [layer.comparison for layer in report.layers if (layer.path, layer.dtype) == ("1", "float32")]
    assert any(comparison.noise_ratio is not None and comparison.noise_ratio > 100 for comparison in judged)


@pytest.mark.parametrize("mode", ["free", "both"])
def test_half_precision_that_is_amplified(mode: str) -> None:
    report = compare(Half, mode=mode, dtypes=["float32", "float64"])
    assert not report
    assert {layer.dtype for layer in report.failures} == {"float32", "float64"}
