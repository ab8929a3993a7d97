"""Either side may do in one layer what the other does in several: no alarm for it, and mistakes inside are pinned."""

from __future__ import annotations

from types import MethodType

import pytest
import torch
from torch import nn

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.engine.scalars import rounds_slopes
from parity.mutants.mutant import Port
from parity.mutants.units import fuse_activations, make_abn
from parity.networks.port import load_port
from parity.pairing.match import match_port
from tests.parity.small_twins import INPUTS, make_twins
from tests.parity.small_units import (
    IMAGES,
    STYLES,
    PaddleAbn,
    PaddleNet,
    PaddleOne,
    PaddleOwn,
    make_reference,
    parts,
)

pnn, functional = paddle.nn, paddle.nn.functional

MOST_MORE = 10
"""Isolated passes that an unusual port may cost more than a plain one."""
TWO_LAYERS = [style for style in STYLES if style != "one"]
COARSER = [("separate", "abn"), ("function", "own"), ("abn", "separate"), ("own", "function"), ("own", "abn")]


def compare(reference, port, images=IMAGES, **settings):
    pairing, weights = match_port(reference, port, None)
    return compare_models(reference, port, images, pairs=pairing, weights=weights, **settings)


def accused(report):
    return {one.path for one in report.guilty}


# A port whose layer takes the magnitude of its scale cannot be given that of a layer without a name for it.
@pytest.mark.parametrize("theirs", STYLES)
@pytest.mark.parametrize("ours", STYLES)
def test_units_may_be_drawn_in_any_way(ours, theirs, isolated):
    if (ours, theirs) == ("one", "own"):
        theirs = "abn"
    report = compare(make_reference(ours), PaddleNet(theirs))
    assert report, report.summary
    assert not report.coverage.uncovered
    assert len(report.coverage.paired) >= 3
    assert not isolated


def norm_of(unit):
    return parts(unit, pnn.BatchNorm2D, PaddleOwn, PaddleOne)[0]


def set_epsilon(norm, value):
    norm.eps = norm._epsilon = value


def take_another_slope(port):
    layer = next(one for one in port.last.sublayers(include_self=True) if hasattr(one, "slope") or is_leaky(one))
    layer.slope = layer._negative_slope = 0.2


def is_leaky(layer):
    return isinstance(layer, pnn.LeakyReLU)


def take_an_epsilon_of_a_thousandth(port):
    set_epsilon(norm_of(port.last), 1e-3)


def take_another_epsilon(port):
    set_epsilon(norm_of(port.last), 1.001e-5)


def leave_the_activation_out(port):
    layer = next(one for one in port.last.sublayers(include_self=True) if hasattr(one, "slope") or is_leaky(one))
    layer.slope = layer._negative_slope = 1.0


def normalise_each_picture(port):
    norm = norm_of(port.last)
    scale = (lambda: norm.weight.abs() + norm.eps) if isinstance(norm, PaddleOwn) else (lambda: norm.weight)
    slope = getattr(norm, "slope", 1.0)
    norm.forward = lambda x: functional.leaky_relu(
        functional.instance_norm(x, weight=scale(), bias=norm.bias), negative_slope=slope
    )


def dilate(port):
    conv = parts(port.last, pnn.Conv2D)[0]
    conv.forward = lambda x: functional.conv2d(x, conv.weight, padding=2, dilation=2)


def exchange_two_channels(port):
    norm = norm_of(port.last)
    norm.bias.set_value(norm.bias[paddle.to_tensor([1, 0, *range(2, 8)])])


MISTAKES = [
    take_another_slope,
    take_an_epsilon_of_a_thousandth,
    take_another_epsilon,
    leave_the_activation_out,
    normalise_each_picture,
    dilate,
    exchange_two_channels,
]


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(("ours", "theirs"), COARSER)
def test_a_mistake_inside_is_pinned_to_the_unit(ours, theirs, mistake, isolated):
    reference, port = make_reference(ours), PaddleNet(theirs)
    match_port(reference, port, None)
    mistake(port)
    report = compare(reference, port, dtypes=["float64"], mode="isolated")
    assert accused(report)
    assert {path.partition(".")[0] for path in accused(report)} == {"refine"}
    assert len(isolated) <= MOST_MORE


@pytest.mark.parametrize("mistake", [take_another_slope, take_an_epsilon_of_a_thousandth, exchange_two_channels])
@pytest.mark.parametrize("ours", TWO_LAYERS)
def test_a_mistake_inside_of_one_leaf_of_all_three(ours, mistake, isolated):
    reference, port = make_reference(ours), PaddleNet("one")
    match_port(reference, port, None)
    if mistake is exchange_two_channels:
        port.last.beta.set_value(port.last.beta[paddle.to_tensor([1, 0, *range(2, 8)])])
    else:
        mistake(port)
    report = compare(reference, port, dtypes=["float64"], mode="isolated")
    assert {path.partition(".")[0] for path in accused(report)} == {"refine"}
    assert len(isolated) <= MOST_MORE


def test_the_message_names_the_ports_own_layer():
    reference, port = make_reference("separate"), PaddleNet("abn")
    match_port(reference, port, None)
    take_an_epsilon_of_a_thousandth(port)
    report = compare(reference, port)
    assert report.guilty[0].sentence.startswith("last.1 (reference: refine.1): ")


@pytest.mark.parametrize("kind", ["BatchNorm", "SyncBatchNorm"])
@pytest.mark.parametrize("wrong", [False, True])
def test_other_classes_of_a_batch_norm(kind, wrong, isolated):
    """`paddle.nn.BatchNorm` names its activation by `act`; SyncBatchNorm has no kernel for a CPU."""
    reference, port = make_reference("separate"), PaddleNet("abn")
    for unit in (port.entry, port.inner, port.last):
        channels = unit[1].weight.shape[0]
        unit[1] = pnn.BatchNorm(channels, act="relu") if kind == "BatchNorm" else pnn.SyncBatchNorm(channels)
        if kind == "SyncBatchNorm":
            unit.add_sublayer(str(len(unit)), pnn.ReLU())
    for unit in (reference.stem, reference.block["reduce"], reference.refine):
        unit[2].negative_slope = 0.0
    match_port(reference, port, None)
    if wrong:
        set_epsilon(port.last[1], 1e-3)
    report = compare(reference, port)
    assert accused(report) == ({"refine.1"} if wrong else set())
    assert bool(report) is not wrong, report.summary
    assert len(isolated) <= 2


def test_an_activation_that_act_forgets():
    reference, port = make_reference("separate"), PaddleNet("abn")
    for unit in (port.entry, port.inner, port.last):
        unit[1] = pnn.BatchNorm(unit[1].weight.shape[0], act=None if unit is port.inner else "relu")
    for unit in (reference.stem, reference.block["reduce"], reference.refine):
        unit[2].negative_slope = 0.0
    report = compare(reference, port, dtypes=["float64"], mode="isolated")
    assert accused(report) == {"block.reduce"}


@pytest.fixture(scope="module")
def official():
    return make_twins()[0]


def attend_as_in_torch(self, x):
    """The official code in the API that Paddle shares with torch."""
    batch, _, height, width = x.size()
    query, key, value = self.query_conv(x), self.key_conv(x), self.value_conv(x)
    query_h = query.permute(0, 3, 1, 2).contiguous().view([batch * width, -1, height]).permute(0, 2, 1)
    query_w = query.permute(0, 2, 1, 3).contiguous().view([batch * height, -1, width]).permute(0, 2, 1)
    key_h = key.permute(0, 3, 1, 2).contiguous().view([batch * width, -1, height])
    key_w = key.permute(0, 2, 1, 3).contiguous().view([batch * height, -1, width])
    value_h = value.permute(0, 3, 1, 2).contiguous().view([batch * width, -1, height])
    value_w = value.permute(0, 2, 1, 3).contiguous().view([batch * height, -1, width])
    mask = -paddle.diag(paddle.full([height], float("inf"), dtype=x.dtype)).unsqueeze(0).repeat(batch * width, 1, 1)
    energy_h = (paddle.bmm(query_h, key_h) + mask).view([batch, width, height, height]).permute(0, 2, 1, 3)
    energy_w = paddle.bmm(query_w, key_w).view([batch, height, width, width])
    weights = functional.softmax(paddle.cat([energy_h, energy_w], 3), 3)
    att_h = weights[:, :, :, 0:height].permute(0, 2, 1, 3).contiguous().view([batch * width, height, height])
    att_w = weights[:, :, :, height : height + width].contiguous().view([batch * height, width, width])
    out_h = paddle.bmm(value_h, att_h.permute(0, 2, 1)).view([batch, width, -1, height]).permute(0, 2, 3, 1)
    out_w = paddle.bmm(value_w, att_w.permute(0, 2, 1)).view([batch, height, -1, width]).permute(0, 2, 1, 3)
    return self.gamma * (out_h + out_w) + x


@pytest.mark.skipif(not hasattr(paddle.Tensor, "permute"), reason="this Paddle has no torch-like API")
@pytest.mark.parametrize("wrong", [False, True])
def test_the_official_code_in_a_torch_like_api(official, wrong, isolated):
    port = load_port("tests.parity.official_port:build")
    attention = port.head.cca
    attention.forward = MethodType(attend_as_in_torch, attention)
    head = port.head
    for unit in (head.conva, head.convb):
        unit[1] = PaddleAbn(unit[1].weight.shape[0], 0.01)

    def forward(self, x):
        output = self.conva(x)
        for _ in range(2):
            output = self.cca(output)
        return self.bottleneck(paddle.cat([x, self.convb(output)], 1))

    head.forward = MethodType(forward, head)
    match_port(official, port, None)
    if wrong:
        head.convb[1].slope = 0.1
    report = compare(official, port, {"odd": INPUTS["odd"]})
    assert {path for path in accused(report) if not path.startswith("head.refine")} == set()
    assert bool(report) is not wrong, report.summary
    assert len(isolated) <= MOST_MORE


@pytest.mark.parametrize("wrong", [False, True])
def test_a_twin_with_one_layer_for_norm_and_activation(wrong, isolated):
    ours, theirs = make_twins()
    fuse_activations(Port(theirs, {}), make_abn)
    if wrong:
        theirs.head.refine.norm.slope = 0.1
    report = compare_models(ours, theirs, INPUTS)
    assert accused(report) == ({"head.refine.norm"} if wrong else set())
    assert bool(report) is not wrong, report.summary
    assert len(isolated) <= 2


@pytest.mark.parametrize("wrong", [False, True])
def test_an_epsilon_of_a_thousandth_everywhere(wrong, isolated):
    """Paddle keeps it as a float32, which every norm of the network adds to."""
    ours, theirs = make_twins(family="pure_pytorch")
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    for norm in parts(theirs, pnn.BatchNorm2D):
        norm._epsilon = 1e-3
    if wrong:
        theirs.head.refine.norm._epsilon = 1.001e-3
    report = compare_models(ours, theirs, INPUTS)
    assert accused(report) == ({"head.refine.norm"} if wrong else set())
    assert bool(report) is not wrong, report.summary
    assert len(isolated) <= (3 if rounds_slopes() else 2)


class Pooled(nn.Module):
    """Its activation is a function that overwrites, and is seen by no layer before it is pooled."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.Linear(6, 4)

    def forward(self, images):
        features = nn.functional.relu(self.norm(self.conv(images)), inplace=True)
        return self.out(features.mean((2, 3)))


@pytest.mark.parametrize("act", ["relu", "sigmoid"])
def test_an_activation_that_the_reference_shows_nowhere(act, isolated):
    port = pnn.Sequential(
        pnn.Conv2D(3, 6, 1), pnn.BatchNorm(6, act=act), pnn.AdaptiveAvgPool2D(1), pnn.Flatten(), pnn.Linear(6, 4)
    )
    torch.manual_seed(0)
    report = compare(Pooled(), port, dtypes=["float64"])
    assert bool(report) is (act == "relu"), report.summary
    assert ("norm" in accused(report)) is (act != "relu")
    assert len(isolated) <= MOST_MORE
