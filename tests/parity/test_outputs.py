"""Both twins run and are compared for real, at depth 18; mistakes in weights and recurrence are seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from families import FAMILIES
from parity.inputs import make_images
from parity.outputs import compare_outputs
from parity.weights import standin_pair

INPUTS = {"odd": make_images((33, 49), seed=0), "even": make_images((40, 24), seed=0)}


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("recurrence", [0, 1, 2, 3])
def test_twins_agree(family, recurrence):
    report = compare_outputs(standin_pair(seed=0, family=family, depth=18), INPUTS, recurrence=recurrence)
    assert report, report.summary
    assert len(report.layers) == len(INPUTS) * 2 * 2


@pytest.mark.parametrize(
    "name",
    ["backbone.stage3.0.spatial.norm.weight", "head.attention.gamma", "auxiliary_head.fuse.conv.bias"],
)
def test_a_wrong_weight_is_seen(name):
    weights = standin_pair(seed=0, depth=18)
    wrong = {**weights.paddle, name: weights.paddle[name] * np.float32(1.0001)}
    report = compare_outputs(replace(weights, paddle=wrong), INPUTS, recurrence=2)
    assert not report
    assert "differs by" in report.summary
    assert report.to_json()["first_divergence"]["dtype"] == "float64"


def test_a_listed_difference_of_weights_fails_by_itself():
    weights = standin_pair(seed=0, depth=18)
    report = compare_outputs(replace(weights, different=("head.attention.gamma",)), INPUTS, recurrence=1)
    assert not report
    assert "head.attention.gamma" in report.summary


def test_nothing_compared_is_no_pass():
    assert not compare_outputs(standin_pair(seed=0, depth=18), {}, recurrence=1)
