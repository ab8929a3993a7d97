"""Scalars that are one number in float32 and two in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.engine.scalars import PADDLES_NOTES, Scalars, as_decimal, write_out
from parity.networks.modules import torch_modules
from parity.verdicts.comparison import compare
from tests.parity.causes import pairs
from tests.parity.small_twins import INPUTS, make_twins, sublayer

SMALL = {"odd": INPUTS["odd"]}


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_decimal_is_the_same_in_float32(value):
    assert np.float32(as_decimal(value)) == np.float32(value)


@pytest.mark.parametrize(
    ("value", "decimal"),
    [(float(np.float32(0.01)), 0.01), (float(np.float32(1e-5)), 1e-5), (0.01, 0.01), (0.5, 0.5), (1.001e-5, 1.001e-5)],
)
def test_only_what_is_a_float32_is_written_out(value, decimal):
    assert as_decimal(value) == decimal


@pytest.fixture
def twins():
    return make_twins()


def set_slopes(model, slope):
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.LeakyReLU):
            layer._negative_slope = slope


def test_a_port_may_write_its_slope_out(twins):
    ours, theirs = twins
    rounded = ours.head.reduce.activation.negative_slope
    set_slopes(theirs, 0.01)
    report = compare_models(ours, theirs, SMALL)
    assert report, report.summary
    note = f"slope 0.01 for {rounded!r}, which is the same in float32"
    is_rounded_by_paddle = paddle.__version__.startswith("2.")
    assert report.notes == (() if is_rounded_by_paddle else (note,))
    assert ours.head.reduce.activation.negative_slope == rounded != 0.01


def test_twins_need_no_note(twins):
    assert compare_models(*twins, SMALL, dtypes=["float64"], mode="free").notes == ()


def test_a_slope_that_is_another_in_float32_is_a_mistake(twins):
    ours, theirs = twins
    set_slopes(theirs, float(np.nextafter(np.float32(0.01), np.float32(1))))
    report = compare_models(ours, theirs, SMALL)
    assert not report
    assert {one.path for one in report.guilty} == {
        f"{name}.activation" for name in ("head.reduce", "head.refine", "head.fuse", "auxiliary_head.fuse")
    }


def test_a_mistake_beside_it_is_named_alone(twins):
    ours, theirs = twins
    set_slopes(theirs, 0.01)
    norm = sublayer(theirs, "backbone.stage3.1.spatial.norm")
    norm._epsilon = 1.001e-5
    report = compare_models(ours, theirs, SMALL)
    assert [one.path for one in report.guilty] == ["backbone.stage3.1.spatial.norm"]


def test_the_users_own_reference_keeps_its_scalars(twins):
    ours, theirs = twins
    set_slopes(theirs, 0.01)
    before = ours.head.reduce.activation.negative_slope
    compare_models(ours, theirs, SMALL, dtypes=["float64"], mode="isolated")
    assert ours.head.reduce.activation.negative_slope == before
    assert ours.backbone.stem[0].norm.eps == make_twins()[0].backbone.stem[0].norm.eps


class Sloped(nn.Module):
    """An activation that keeps its slope as a C float."""

    def __init__(self):
        super().__init__()
        self.slope = float(np.float32(0.01))

    def forward(self, features):
        return nn.functional.leaky_relu(features, self.slope)


def test_what_is_no_float32_of_the_other_explains_nothing():
    reference = nn.Sequential(nn.Conv2d(3, 4, 1), Sloped())
    scalars = Scalars(torch_modules(reference))
    features = torch.randn(2, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for slope, is_the_same in ((0.01, True), (float(np.nextafter(np.float32(0.01), np.float32(1))), False)):
        actual = nn.functional.leaky_relu(features, slope)
        comparison = compare(actual, reference[1](features))
        assert not comparison
        assert bool(scalars.explain("1", [features], actual, comparison)) is is_the_same
        reference[1].slope = float(np.float32(0.01))


@pytest.mark.parametrize(("left", "kept"), [(3, 0.01), (5, float(np.float32(0.01)))])
def test_scalars_are_written_out_where_less_fails_then(left, kept):
    reference = nn.Sequential(nn.Conv2d(3, 4, 1), Sloped())
    scalars = Scalars(torch_modules(reference))
    assert write_out(scalars, lambda: left, 5) is (left < 5)
    assert reference[1].slope == kept
    assert (("1", "slope") in scalars.kept) is (left < 5)


class TorchResizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pixel = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x):
        y = tf.selu(self.conv(tf.interpolate(x, (7, 11), mode="bicubic", align_corners=True)))
        return y + tf.interpolate(self.pixel(x.mean((2, 3), keepdim=True)), (7, 11), mode="bilinear")


class PaddleResizes(paddle.nn.Layer):
    """The same; one pixel is repeated, not resized."""

    def __init__(self, mode):
        super().__init__()
        self.mode = mode
        self.conv, self.pixel = paddle.nn.Conv2D(3, 4, 1), paddle.nn.Conv2D(3, 4, 1)

    def forward(self, x):
        large = paddle.nn.functional.interpolate(x, (7, 11), mode=self.mode, align_corners=True)
        y = paddle.nn.functional.selu(self.conv(large))
        return y + self.pixel(x.mean([2, 3], keepdim=True)).expand(y.shape)


@pytest.mark.parametrize(("mode", "passed"), [("bicubic", True), ("bilinear", False)])
def test_paddles_own_positions_and_constants(mode, passed):
    images = {"odd": np.random.default_rng(0).standard_normal((2, 3, 5, 6))}
    report = pairs.compare(TorchResizes(), PaddleResizes(mode), images)
    assert bool(report) is passed, report.summary
    if passed:
        assert set(report.notes) == {PADDLES_NOTES["interpolate"], PADDLES_NOTES["selu"]}
