"""The figures that are reported, as JSON and in the terminal."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from cityscapes.progress import show_progress
from cityscapes.tables import print_result
from cityscapes.weights import Weights
from tests.cityscapes.results import make_result
from twins.weights import standin_pair


def test_json_contract():
    found = json.loads(json.dumps(make_result().to_json(), allow_nan=False))
    contract = {"images", "protocol", "torch", "paddle", "agreement", "published"}
    assert contract <= found.keys()
    for name in ("torch", "paddle"):
        assert found[name].keys() == {"miou", "pixel_accuracy", "class_iou", "confusion"}
        assert np.shape(found[name]["confusion"]) == (19, 19)
    assert found["torch"]["class_iou"]["bicycle"] is None
    assert found["torch"]["miou"] == pytest.approx(390 / (2 * 560 - 390))
    agreement = found["agreement"]
    assert (agreement["confusion_equal"], agreement["differing_pixels"], agreement["unexplained_pixels"]) == (
        False,
        1,
        0,
    )
    assert agreement["miou_difference"] == found["paddle"]["miou"] - found["torch"]["miou"] < 0


def test_json_of_one_framework():
    found = make_result(frameworks=("paddle",)).to_json()
    assert found["torch"] is None
    assert found["agreement"] is None
    assert found["paddle"]["miou"] > 0.5


@pytest.mark.parametrize(("miou", "reached"), [(53.0, True), (53.57, True), (53.58, False), (54.0, False)])
def test_a_figure_is_reached_within_0_15(miou, reached):
    assert make_result(frameworks=("torch",)).reached({"miou": miou}) == {"torch": reached}


def test_unexplained_flips_fail():
    assert make_result()
    assert not make_result(healthy=False)


@pytest.mark.parametrize("healthy", [True, False])
def test_terminal(healthy):
    output = io.StringIO()
    print_result(make_result(healthy=healthy), Console(file=output, width=160))
    text = output.getvalue()
    words = [
        "window 769, overlap 1/3",
        "scales 0.75, 1.0",
        "flipped too",
        "a note",
        "traffic light",
        "53.42",
        "not equal",
    ]
    for word in [*words, "pixels of another class: 1", "63, 1027", "sidewalk"]:
        assert word in text
    assert ("FAILED" in text) is ("unexplained" in text) is not healthy
    assert "published: 99.00 (high, README); torch does not reach it, Paddle does not reach it (± 0.15)" in text


def figures(recurrence, *, family="official", file_name="a.pth", depth=101, multi_scale=False):
    pair = standin_pair(seed=0, family=family, depth=18)
    object.__setattr__(pair.plan, "depth", depth)
    weights = Weights(pair=pair, torch=None, paddle=None, recurrence=recurrence, file_name=file_name)
    return [figure["miou"] for figure in weights.published(multi_scale=multi_scale)]


def test_published_figures_are_those_of_family_recurrence_depth_and_file():
    assert figures(1) == [77.91]
    assert figures(2) == [79.74, 80.0]
    assert figures(2, depth=50) == figures(3) == figures(2, multi_scale=True) == []
    name = "ccnet_r101-d8_769x769_80k_cityscapes_20200603_040111-269f7ef5.pth"
    assert figures(2, family="mmseg", file_name=name) == [79.45]
    assert figures(2, family="mmseg", file_name=name, multi_scale=True) == [80.66]
    assert figures(2, family="mmseg", file_name=name.replace("cityscapes", "ade20k")) == []
    assert figures(2, family="paddleseg") == [80.95]


def test_the_bar_shows_rate_miou_and_time_left():
    output = io.StringIO()
    result = make_result()
    with show_progress(Console(file=output, width=160, force_terminal=True)) as display:
        display.begin("evaluating", total=4, done=1)
        display.advance(result.totals)
        display.bar.refresh()
    for word in ("evaluating", "2/4", "images/s", "mIoU torch 53.42, paddle", "left"):
        assert word in output.getvalue()
