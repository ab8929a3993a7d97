"""Layers that do not ask for the axes of positions, and borders, may be drawn otherwise; mistakes there still show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle
from parity.engine.harness import compare_models
from tests.parity.causes.pairs import compare

pnn, pf = paddle.nn, paddle.nn.functional
SQUARE = np.random.default_rng(0).standard_normal((2, 4, 8, 8))


class TorchTokens(nn.Module):
    """A LayerNorm and two Linear layers on (N, H·W, C), of pictures whose sides are the number of channels."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(4, 8, 1), nn.LayerNorm(8)
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        y = self.norm(self.stem(x).flatten(2).transpose(1, 2))
        return self.second(torch.relu(self.first(y))).transpose(1, 2).unflatten(2, x.shape[2:])


class PaddleTokens(pnn.Layer):
    """The same on (N, H, W, C), or by convolutions; `wrong`: the picture is not transposed before the first."""

    def __init__(self, convolutions, wrong=False):
        super().__init__()
        self.convolutions, self.wrong = convolutions, wrong
        self.stem, self.norm = pnn.Conv2D(4, 8, 1), pnn.LayerNorm(8)
        self.first = pnn.Conv2D(8, 16, 1) if convolutions else pnn.Linear(8, 16)
        self.second = pnn.Conv2D(16, 8, 1) if convolutions else pnn.Linear(16, 8)

    def forward(self, x):
        y = self.norm(self.stem(x).transpose([0, 2, 3, 1]))
        if self.convolutions:
            return self.second(pf.relu(self.first(y.transpose([0, 3, 1, 2]))))
        y = y.transpose([0, 3, 1, 2]) if self.wrong else y
        return self.second(pf.relu(self.first(y))).transpose([0, 3, 1, 2])


@pytest.mark.parametrize("convolutions", [False, True])
def test_positions_may_have_other_axes(convolutions):
    report = compare(TorchTokens(), PaddleTokens(convolutions), SQUARE)
    assert report, report.summary
    assert {"norm", "first", "second"} <= {layer.path for layer in report.layers}


def test_what_is_not_transposed_is_the_callers_fault():
    report = compare(TorchTokens(), PaddleTokens(convolutions=False, wrong=True), SQUARE)
    assert not report
    assert report.guilty[0].path == ""
    assert report.guilty[0].site == "input of first"


def test_a_wrong_layer_of_other_axes_is_guilty():
    def edit(port):
        port.norm._epsilon = 1e-3

    report = compare(TorchTokens(), PaddleTokens(convolutions=True), SQUARE, edit)
    assert [guilty.path for guilty in report.guilty] == ["norm"]
    assert report.guilty[0].cause is not None
    assert "epsilon is 0.001" in report.guilty[0].cause.text


class TorchPadded(nn.Module):
    """A pool, and a border put around a convolution's input."""

    def __init__(self):
        super().__init__()
        self.pool, self.pad = nn.MaxPool2d(2, ceil_mode=True), nn.ReflectionPad2d(1)
        self.conv = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.conv(self.pad(self.pool(x)))


class PaddlePadded(pnn.Layer):
    def __init__(self, mode, ceil):
        super().__init__()
        self.pool = pnn.MaxPool2D(2, ceil_mode=ceil)
        self.conv = pnn.Conv2D(4, 4, 3, padding=1, padding_mode=mode)

    def forward(self, x):
        return self.conv(self.pool(x))


@pytest.mark.parametrize(
    ("mode", "ceil", "guilty"),
    [("reflect", True, set()), ("replicate", True, {"conv"}), ("reflect", False, {"pool"})],
    ids=["right", "mode", "ceil"],
)
def test_the_port_may_pad_itself(mode, ceil, guilty):
    images = np.random.default_rng(0).standard_normal((2, 4, 9, 8))
    report = compare(TorchPadded(), PaddlePadded(mode, ceil), images)
    assert {one.path for one in report.guilty if one.path != ""} == guilty
    assert bool(report) == (not guilty)


class TorchPyramid(nn.Module):
    """A container that pools and resizes; the port's does neither, its code around it does."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x):
        return torch.cat([x, tf.interpolate(self.branch(x), x.shape[2:], mode="bilinear", align_corners=True)], 1)


class PaddlePyramid(pnn.Layer):
    def __init__(self, pool, mode="bilinear"):
        super().__init__()
        self.pool, self.mode = pool, mode
        self.branch = pnn.Sequential(pnn.Conv2D(4, 4, 1), pnn.BatchNorm2D(4))

    def forward(self, x):
        y = self.branch(self.pool(x, 2))
        corners = {"align_corners": True} if self.mode == "bilinear" else {}
        return paddle.concat([x, pf.interpolate(y, x.shape[2:], mode=self.mode, **corners)], 1)


def test_a_mistake_beside_a_boundary_elsewhere_has_its_cause():
    assert compare(TorchPyramid(), PaddlePyramid(pf.adaptive_avg_pool2d), SQUARE)
    report = compare(TorchPyramid(), PaddlePyramid(pf.adaptive_max_pool2d), SQUARE)
    assert [guilty.cause and guilty.cause.text for guilty in report.guilty] == [
        "the maximum is pooled, not the average"
    ]


class TorchCells(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.gru = nn.LSTMCell(4, 6), nn.GRUCell(6, 5)

    def forward(self, x):
        h = c = x.new_zeros(len(x), 6)
        g = x.new_zeros(len(x), 5)
        for step in x.unbind(1):
            h, c = self.cell(step, (h, c))
            g = self.gru(h, g)
        return g, c


class PaddleCells(pnn.Layer):
    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong
        self.cell, self.gru = pnn.LSTMCell(4, 6), pnn.GRUCell(6, 5)

    def forward(self, x):
        h = c = paddle.zeros([len(x), 6], x.dtype)
        g = paddle.zeros([len(x), 5], x.dtype)
        for step in x.unbind(1):
            y, (h, c) = self.cell(step, (h, c))
            g, _ = self.gru(c if self.wrong else y, g)
        return g, c


def test_a_cell_may_give_its_state_twice():
    sequence = np.random.default_rng(0).standard_normal((2, 3, 4))
    assert compare(TorchCells(), PaddleCells(wrong=False), sequence)
    report = compare(TorchCells(), PaddleCells(wrong=True), sequence)
    assert {guilty.path for guilty in report.guilty} == {""}


class TorchBias(nn.Module):
    """A table of biases that is looked up by a buffer of whole numbers."""

    def __init__(self):
        super().__init__()
        self.conv, self.table = nn.Conv2d(4, 4, 1), nn.Parameter(torch.randn(5, 1))
        self.register_buffer("index", torch.tensor([0, 2, 4, 1]))

    def forward(self, x):
        return self.conv(x) + self.table[self.index].reshape(1, 4, 1, 1)


class PaddleBias(pnn.Layer):
    def __init__(self):
        super().__init__()
        self.conv, self.table = pnn.Conv2D(4, 4, 1), self.create_parameter([5, 1])
        self.register_buffer("index", paddle.to_tensor([0, 2, 4, 1]))

    def forward(self, x):
        return self.conv(x) + paddle.index_select(self.table, self.index).reshape([1, 4, 1, 1])


def test_a_buffer_of_whole_numbers_stays_one():
    report = compare(TorchBias(), PaddleBias(), SQUARE)
    assert report, report.summary
    port = PaddleBias()
    compare_models(TorchBias().eval(), port, SQUARE, dtypes=["float64"])
    assert port.index.dtype == paddle.int64
