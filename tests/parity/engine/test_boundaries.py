"""Ports that draw the boundaries of their modules elsewhere: no alarm for that, and every mistake is still pinned."""

from __future__ import annotations

from types import MethodType

import numpy as np
import pytest
from torch import nn

from models_paddle import paddle
from parity.engine.boundaries import CALLS, Failure, Trialled, find_redrawn, find_suspects
from parity.engine.harness import compare_models
from parity.networks.port import load_port
from parity.pairing.match import match_port
from tests.parity.small_twins import INPUTS, make_twins, sublayer

pnn, functional = paddle.nn, paddle.nn.functional

SMALL = {"odd": INPUTS["odd"]}
EVEN = {"even": INPUTS["even"]}
MOVED = {"head.reduce", "head.refine", "backbone.stage1.1.activation", "backbone.stage4.1.activation"}


@pytest.fixture(scope="module")
def ours():
    return make_twins()[0]


@pytest.fixture
def port(ours):
    port = load_port("tests.parity.official_port:build")
    match_port(ours, port, None)
    return port


def compare(ours, port, **settings):
    pairing, weights = match_port(ours, port, None)
    return compare_models(ours, port, SMALL, pairs=pairing, weights=weights, **settings)


def test_the_official_codes_structure_passes(ours, port):
    pairing, weights = match_port(ours, port, None)
    report = compare_models(ours, port, INPUTS, pairs=pairing, weights=weights)
    assert report, report.summary
    assert set(report.coverage.redrawn) >= MOVED
    assert "head.attention" not in report.coverage.redrawn
    assert not report.coverage.uncalled
    assert not {layer.path for layer in report.layers} & MOVED
    assert {"head.attention", "backbone.stage2.1", "backbone.stem.2.norm"} <= set(report.coverage.paired)


@pytest.mark.parametrize(
    "settings",
    [{"mode": "free"}, {"mode": "isolated", "fail_fast": True}, {"dtypes": ["float32"]}],
    ids=["free", "fail-fast", "float32"],
)
def test_whatever_is_asked(ours, port, settings):
    report = compare(ours, port, **settings)
    assert report, report.summary


def forget_activation(port):
    block = port.layer2[1]

    def forward(self, x):
        out = self.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        return self.relu(self.bn3(self.conv3(out)) + x)

    block.forward = MethodType(forward, block)


def take_a_slope_of_a_tenth(port):
    head = port.head

    def forward(self, x):
        output = self.cca(self.cca(functional.leaky_relu(self.conva(x), 0.01)))
        output = functional.leaky_relu(self.convb(output), 0.1)
        return self.bottleneck(paddle.concat([x, output], 1))

    head.forward = MethodType(forward, head)


def round_the_pool_down(port):
    port.maxpool = pnn.MaxPool2D(3, 2, 1)


def forget_the_pool(port):
    port.maxpool = pnn.Identity()


def forget_a_shortcut(port):
    block = port.layer3[1]

    def forward(self, x):
        out = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.bn3(self.conv3(out)))

    block.forward = MethodType(forward, block)


def average_over_columns_only(port):
    port.head.cca.softmax.forward = lambda energies: functional.softmax(energies, 2)


def call_the_attention(times):
    def mistake(port):
        port.head.recurrence = times

    return mistake


def refine_before_attention(port):
    head = port.head

    def forward(self, x):
        output = functional.leaky_relu(self.conva(x), 0.01)
        output = self.cca(self.cca(functional.leaky_relu(self.convb(output), 0.01)))
        return self.bottleneck(paddle.concat([x, output], 1))

    head.forward = MethodType(forward, head)


def resize_the_logits(port):
    forward = port.forward
    port.forward = lambda images: [functional.interpolate(logits, scale_factor=2) for logits in forward(images)]


@pytest.mark.parametrize(
    ("mistake", "guilty"),
    [
        (call_the_attention(0), {"head"}),
        (call_the_attention(1), {"head"}),
        (call_the_attention(3), {"head"}),
        (refine_before_attention, {"head"}),
        (resize_the_logits, {""}),
        (forget_the_pool, {""}),
        (forget_activation, {"backbone.stage2.1"}),
        (take_a_slope_of_a_tenth, {"head"}),
        (round_the_pool_down, {"backbone.pool"}),
        (forget_a_shortcut, {"backbone.stage3.1"}),
        (average_over_columns_only, {"head.attention"}),
    ],
)
def test_mistakes_of_such_a_port_are_pinned(ours, port, mistake, guilty):
    mistake(port)
    pairing, weights = match_port(ours, port, None)
    report = compare_models(ours, port, EVEN, pairs=pairing, weights=weights, dtypes=["float64"], mode="isolated")
    assert {one.path for one in report.guilty} == guilty


def test_a_twin_whose_containers_leave_their_activation_out():
    ours, theirs = make_twins()
    block = sublayer(theirs, "backbone.stage3.1")
    for name in ("reduce", "spatial"):
        getattr(block, name).forward = MethodType(lambda self, x: self.norm(self.conv(x)), getattr(block, name))

    def forward(self, x):
        out = self.spatial.activation(self.spatial(self.reduce.activation(self.reduce(x))))
        return self.activation(self.residual(x, self.expand(out)))

    block.forward = MethodType(forward, block)
    report = compare_models(ours, theirs, SMALL, dtypes=["float64"], mode="isolated")
    assert report, report.summary
    # The sum is handed its terms the other way round.
    assert set(report.coverage.redrawn) == {f"backbone.stage3.1.{name}" for name in ("reduce", "spatial", "residual")}


def compare_with_second_attention(ours, theirs):
    """The head's second pass goes through its `again`."""

    def forward(self, features):
        attended = self.again(self.attention(self.reduce(features)))
        return self.classifier(self.dropout(self.fuse(self.concatenate(features, self.refine(attended)))))

    theirs.head.forward = MethodType(forward, theirs.head)
    return compare_models(ours, theirs, SMALL, dtypes=["float64"], mode="isolated")


def test_the_second_pass_of_an_unshared_attention_is_not_drawn_elsewhere():
    ours, theirs = make_twins()
    head = sublayer(theirs, "head")
    head.again = sublayer(make_twins()[1], "head.attention")
    report = compare_with_second_attention(ours, theirs)
    assert not report
    assert not report.coverage.redrawn
    assert "head.attention #1" in report.coverage.unpaired_reference


def test_a_gamma_that_is_not_shared_is_not_drawn_elsewhere():
    """The second pass has the first one's convolutions and a gamma of its own, equal for now."""
    ours, theirs = make_twins()
    head = sublayer(theirs, "head")
    again = head.again = sublayer(make_twins()[1], "head.attention")
    again.query, again.key, again.value = head.attention.query, head.attention.key, head.attention.value
    report = compare_with_second_attention(ours, theirs)
    assert not report
    assert not report.coverage.redrawn
    assert any("head.attention #1" in problem for problem in report.problems)


class Trials:
    """Stands for comparisons: what fails when certain pairs are given up."""

    def __init__(self, failures):
        self.failures, self.pairs = failures, {"": "", "block": "b", "block.relu": "b.r", "block.conv": "b.c"}
        self.count = 0

    def __call__(self, given_up=()):
        self.count += 1
        return Trialled(self.failures[frozenset(given_up)], set())

    def find(self, *, agree=False):
        return find_redrawn(self, self.pairs, LOOSE, self(), agree=agree)


LOOSE = {"block": False, "block.relu": False}
OUTPUT = Failure("block.relu", 0, "output", "odd")
HANDED = Failure("block", 0, "input of block.conv", "odd")


@pytest.mark.parametrize(
    ("without", "redrawn"),
    [(set(), {"block.relu"}), ({HANDED}, set())],
    ids=["nothing else is wrong", "it explains what else is wrong"],
)
def test_a_suspect_is_given_up_unless_it_explains_something(without, redrawn):
    trials = Trials({frozenset(): {OUTPUT}, frozenset({"block.relu"}): without})
    assert trials.find() == redrawn
    assert trials.count == 2  # once each, the whole and without


def test_what_it_does_not_explain_stays():
    trials = Trials({frozenset(): {OUTPUT, HANDED}, frozenset({"block.relu"}): {HANDED}})
    assert trials.find() == {"block.relu"}


def test_where_shapes_differ_nothing_is_given_up(ours, port):
    """The stem is too narrow, so that no one can say of the pool what it would have made of the right stem's output."""
    port.conv3, port.bn3 = pnn.Conv2D(8, 8, 3, padding=1, bias_attr=False), pnn.BatchNorm2D(8)
    port.layer1[0].conv1 = pnn.Conv2D(8, 8, 1, bias_attr=False)
    port.layer1[0].downsample[0] = pnn.Conv2D(8, 32, 1, bias_attr=False)
    round_the_pool_down(port)
    pairs = {"backbone.stem.2.conv": "conv3", "backbone.pool": "maxpool", "backbone.stage1": "layer1"}
    report = compare_models(ours, port, INPUTS, pairs=pairs, dtypes=["float64"], mode="isolated")
    assert "backbone.pool" in {one.path for one in report.guilty}


def test_layers_with_parameters_are_never_suspects():
    assert find_suspects({Failure("block.conv", 0, "output", "odd"), HANDED}, {"block.relu": False}) == set()


def test_calls_with_and_without_parameters():
    around, inside = Failure("block", 1, CALLS, ""), Failure("block.conv", 1, CALLS, "")
    assert find_suspects({around}, {"block": False}) == {"block"}
    assert find_suspects({around}, {"block": True}) == set()
    assert find_suspects({around, inside}, {"block": False}) == set()


class TorchPair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)

    def forward(self, images):
        return self.second(self.first(images))


class Keywords(pnn.Layer):
    """Its layers are called with keywords."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.first, self.second, self.scale = pnn.Conv2D(3, 4, 1), Taking(), scale

    def forward(self, images):
        return self.second(features=self.first(x=images) * self.scale)


class Taking(pnn.Conv2D):
    def __init__(self):
        super().__init__(4, 5, 1)

    def forward(self, features):
        return super().forward(features)


@pytest.mark.parametrize("of_paddle_2", [False, True])
def test_arguments_given_by_keyword_are_seen_and_replaced(of_paddle_2, monkeypatch):
    if of_paddle_2:
        register = pnn.Layer.register_forward_pre_hook
        monkeypatch.setattr(pnn.Layer, "register_forward_pre_hook", lambda layer, hook: register(layer, hook))
    images = np.random.default_rng(0).standard_normal((2, 3, 5, 6))
    ours, theirs = TorchPair(), Keywords(scale=1.5)
    for name, module in ours.named_children():
        for leaf, value in module.named_parameters():
            getattr(getattr(theirs, name), leaf).set_value(value.detach().numpy())
    # pnn.Conv2D calls its argument x
    report = compare_models(ours, theirs, images, dtypes=["float64"], mode="isolated")
    assert [(one.path, one.site) for one in report.guilty] == [("", "input of second")]
    theirs.scale = 1.0
    own = theirs.second.forward = MethodType(Taking.forward, theirs.second)
    assert compare_models(ours, theirs, images)
    assert theirs.second.forward is own
    assert "forward" not in vars(theirs.first)
