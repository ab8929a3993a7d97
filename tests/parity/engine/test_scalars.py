"""Scalars that are one number in float32 and two in float64."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.engine.passes import Findings
from parity.engine.scalars import as_decimal, write_out
from parity.verdicts.comparison import failed
from tests.parity.small_twins import INPUTS, make_twins, sublayer

SMALL = {"odd": INPUTS["odd"]}
NEARLY = replace(failed("differs"), relative=1e-9)


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
    norm.epsilon = norm._epsilon = 1.001e-5
    report = compare_models(ours, theirs, SMALL)
    assert [one.path for one in report.guilty] == ["backbone.stage3.1.spatial.norm"]


def test_an_error_leaves_the_scalars_as_they_were(twins):
    ours, theirs = twins
    set_slopes(theirs, 0.01)
    before = ours.head.reduce.activation.negative_slope
    found = Findings([replace(layer, comparison=NEARLY) for layer in compare_models(*twins, SMALL, mode="free").layers])
    trials = iter([Findings(found.layers[:1])])

    with pytest.raises(StopIteration), ExitStack() as stack:
        write_out(ours, found, lambda: next(trials), stack)  # the epsilon has no trial
    assert ours.head.reduce.activation.negative_slope == before
    assert ours.backbone.stem[0].norm.eps == make_twins()[0].backbone.stem[0].norm.eps
