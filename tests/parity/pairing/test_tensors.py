"""Parameters without a counterpart are named, whichever module they are in; those that have one are found anywhere."""

from __future__ import annotations

import pytest
from torch import nn

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.networks.modules import paddle_modules, torch_modules
from parity.networks.port import load_port
from parity.pairing.match import match_port
from parity.pairing.propose import Pairing
from parity.pairing.tensors import find_uncovered, match_tensors
from tests.parity.small_twins import INPUTS, make_twins

pnn = paddle.nn
SPEC = "tests.parity.official_port:"
SMALL = {"odd": INPUTS["odd"]}


@pytest.fixture(scope="module")
def ours():
    return make_twins()[0]


def compare(ours, port, **settings):
    pairing, weights = match_port(ours, port, None)
    return compare_models(
        ours, port, SMALL, pairs=pairing, weights=weights, dtypes=["float64"], mode="isolated", **settings
    )


def add_scale(layer):
    """A factor of one, which only training would move."""
    layer.extra = layer.create_parameter([1], default_initializer=pnn.initializer.Constant(1.0))
    forward = layer.forward
    layer.forward = lambda *inputs: forward(*inputs) * layer.extra


@pytest.mark.parametrize("path", ["head", "head.cca", "layer3.1"])
def test_a_parameter_that_only_the_port_has_is_a_gap(ours, path):
    port = load_port(SPEC + "build")
    match_port(ours, port, None)
    layer = port
    for name in path.split("."):
        layer = layer[int(name)] if name.isdigit() else getattr(layer, name)
    add_scale(layer)
    report = compare(ours, port)
    assert report.coverage.uncovered == (f"{path}.extra",)
    (problem,) = report.problems
    assert f"no counterpart: {path}.extra; accept" in problem
    assert not report
    assert compare(ours, port, accept=["*.extra"])


def test_a_trained_slope_in_a_paired_container_is_a_gap():
    ours, theirs = make_twins()
    theirs.auxiliary_head.fuse.activation = pnn.PReLU(init=ours.auxiliary_head.fuse.activation.negative_slope)
    report = compare_models(ours, theirs, SMALL, dtypes=["float64"], mode="isolated")
    assert report.coverage.uncovered == ("auxiliary_head.fuse.activation._weight",)
    assert not report


def test_a_bias_of_zero_is_a_gap():
    ours, theirs = make_twins()
    conv = theirs.head.reduce.conv
    conv.bias = conv.create_parameter([conv._out_channels], is_bias=True)
    report = compare_models(ours, theirs, SMALL, dtypes=["float64"], mode="isolated")
    assert report.coverage.uncovered == ("head.reduce.conv.bias",)
    assert not report


def test_the_scale_of_an_attention_that_is_no_module(ours):
    port = load_port(SPEC + "build_inline")
    _, summary = match_port(ours, port, None)
    assert summary["copied"]
    assert port.head.scale.item() == ours.head.attention.gamma.item()
    report = compare(ours, port)
    assert report, report.summary
    assert not report.coverage.uncovered
    port.head.scale.set_value(port.head.scale * 1.0001)
    _, summary = match_port(ours, port, None)
    assert summary["different"] == ["head.attention.gamma"]
    report = compare(ours, port)
    assert {one.path for one in report.guilty} == {"head"}


class Scaled(nn.Module):
    """A layer between two scales."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.before, self.after = (nn.Parameter(self.conv.weight.new_ones(1)) for _ in range(2))


@pytest.mark.parametrize(("gamma", "copied"), [(0.0, True), (1.0, True), (0.7, False)])
def test_a_number_that_both_begin_with_is_no_weight_that_was_loaded(gamma, copied):
    reference = Scaled()
    port = paddle.nn.LayerList([pnn.Conv2D(3, 4, 1)])
    for path in ("before", "after"):
        getattr(reference, path).data.fill_(gamma)
        port.add_parameter(path, port.create_parameter([1], default_initializer=pnn.initializer.Constant(gamma)))
    _, summary = match_port(reference, port, {"conv": "0"})
    assert summary["copied"] is copied


class Unlike(pnn.Layer):
    """Its scales have the given names."""

    def __init__(self, *names):
        super().__init__()
        self.conv = pnn.Conv2D(3, 4, 1)
        for name in names:
            setattr(self, name, self.create_parameter([1]))


@pytest.mark.parametrize(
    ("names", "found", "gaps"),
    [
        (("after", "before"), {"before": "before", "after": "after"}, ()),
        (("before", "other"), {"before": "before", "after": "other"}, ()),
        (("one", "other"), {}, ("0.before", "0.after", "one", "other")),
        (("before",), {"before": "before"}, ("0.after",)),
    ],
)
def test_a_parameter_is_found_by_name_or_as_the_only_one_of_its_shape(names, found, gaps):
    ours, theirs = torch_modules(nn.Sequential(Scaled())), paddle_modules(Unlike(*names))
    pairing = Pairing({"": "", "0.conv": "conv"}, "mapping")
    matched = match_tensors(ours, theirs, pairing)
    assert {name: target[1] for (path, name), target in matched.items() if path == "0"} == found
    assert matched["0.conv", "weight"] == ("conv", "weight")
    assert find_uncovered(ours, theirs, pairing) == gaps
