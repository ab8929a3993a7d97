"""The harness on real networks: it agrees with what agrees, names what is wrong, and cannot be fooled."""

from __future__ import annotations

from types import MethodType

import numpy as np
import pytest
import torch
from torch import nn

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.errors import ParityInputError
from tests.parity.small_twins import INPUTS, make_twins, sublayer

pnn = paddle.nn


@pytest.fixture
def twins():
    return make_twins()


def guilty_of(report):
    return [(guilty.path, guilty.call) for guilty in report.guilty]


@pytest.mark.parametrize(
    ("family", "recurrence"), [("pure_pytorch", 2), ("official", 0), ("official", 1), ("official", 2), ("official", 3)]
)
def test_twins_agree(family, recurrence):
    report = compare_models(*make_twins(family=family, recurrence=recurrence), INPUTS)
    assert report, report.summary
    assert {(layer.mode, layer.dtype) for layer in report.layers} == {
        (mode, dtype) for mode in ("free", "isolated") for dtype in ("float64", "float32")
    }
    assert not report.coverage.unpaired_reference
    assert not report.coverage.unpaired_port
    calls = {layer.call for layer in report.layers if layer.path == "head.attention"}
    assert calls == set(range(recurrence))


def test_joints_are_observed(twins):
    paths = {layer.path for layer in compare_models(*twins, INPUTS, dtypes=["float64"]).layers}
    assert {"head.concatenate", "backbone.stage2.0.residual", "head.attention", ""} <= paths


def test_every_wrong_layer_is_named_and_no_victim(twins):
    ours, theirs = twins
    for path in ("backbone.stem.1.conv", "backbone.stage4.1.expand.norm", "auxiliary_head.classifier"):
        weight = sublayer(theirs, path).weight
        weight.set_value(weight * 1.0001)
    report = compare_models(ours, theirs, INPUTS)
    assert sorted(set(guilty_of(report))) == [
        ("auxiliary_head.classifier", 0),
        ("backbone.stage4.1.expand.norm", 0),
        ("backbone.stem.1.conv", 0),
    ]
    assert report.first_divergence.path == "backbone.stem.1.conv"
    assert "was given torch's input: the layer itself is wrong" in report.summary


def test_fault_in_the_second_call_of_a_shared_module(twins):
    ours, theirs = twins
    attention = sublayer(theirs, "head.attention")
    original, calls = attention.forward, []

    def forward(self, features):
        calls.append(1)
        return original(features) * (1.0001 if len(calls) % 2 == 0 else 1.0)

    attention.forward = MethodType(forward, attention)
    report = compare_models(ours, theirs, INPUTS, mode="isolated", dtypes=["float64"])
    assert guilty_of(report) == [("head.attention", 1)]
    assert "second pass" in report.summary


def test_glue_between_layers_is_its_callers_fault(twins):
    ours, theirs = twins
    head = sublayer(theirs, "head")

    def forward(self, features):
        attended = self.attention(self.attention(self.reduce(features)))
        fused = self.fuse(self.concatenate(features * 1.001, self.refine(attended)))
        return self.classifier(self.dropout(fused))

    head.forward = MethodType(forward, head)
    report = compare_models(ours, theirs, INPUTS, dtypes=["float64"])
    assert guilty_of(report) == [("head", 0)]
    assert "input of head.concatenate" in report.summary


def test_free_running_shows_the_victims_too(twins):
    ours, theirs = twins
    weight = sublayer(theirs, "backbone.stage3.0.reduce.conv").weight
    weight.set_value(weight * 1.01)
    failed = {layer.path for layer in compare_models(ours, theirs, INPUTS, mode="free").failures}
    assert {"backbone.stage3.0.reduce.conv", "backbone.stage3.1.expand.conv", "head.classifier", ""} <= failed
    assert "backbone.stage2.0.reduce.conv" not in failed


@pytest.mark.parametrize("passes", [1, 3])
def test_one_pass_too_few_or_too_many(twins, passes):
    ours, theirs = twins
    sublayer(theirs, "head").recurrence = passes
    report = compare_models(ours, theirs, INPUTS, dtypes=["float64"])
    assert not report
    assert any("calls that only" in problem for problem in report.problems)


def test_gamma_of_zero_hides_the_attention_and_is_said(twins):
    ours, theirs = twins
    ours.head.attention.gamma.data.zero_()
    sublayer(theirs, "head.attention").gamma.set_value(np.zeros(1, np.float32))
    report = compare_models(ours, theirs, INPUTS, dtypes=["float64"])
    assert not report
    assert "head.attention.query.weight" in report.coverage.uninfluential
    assert any("influence no output" in problem for problem in report.problems)
    accepted = compare_models(ours, theirs, INPUTS, dtypes=["float64"], accept=["head.attention*"])
    assert accepted, accepted.summary


def test_key_bias_is_a_named_gap(twins):
    report = compare_models(*twins, INPUTS, dtypes=["float64"])
    assert report.coverage.uninfluential == ("head.attention.key.bias",)


def test_momentum_is_seen_although_no_output_shows_it(twins):
    ours, theirs = twins
    sublayer(theirs, "backbone.stem.2.norm")._momentum = 0.1
    report = compare_models(ours, theirs, INPUTS, dtypes=["float64"])
    assert guilty_of(report) == [("backbone.stem.2.norm", 0)]
    assert "momentum" in report.summary


def test_nan_is_a_failure(twins):
    ours, theirs = twins
    for model in (ours.auxiliary_head.classifier, sublayer(theirs, "auxiliary_head.classifier")):
        bias = model.bias.detach().numpy().copy()
        bias[3] = np.nan
        model.bias.data.copy_(torch.from_numpy(bias)) if isinstance(model, nn.Module) else model.bias.set_value(bias)
    report = compare_models(ours, theirs, INPUTS, dtypes=["float64"])
    assert not report
    assert "NaN" in report.summary


def test_models_are_as_before(twins):
    ours, theirs = twins
    ours.train()
    ours.head.eval()
    theirs.train()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    paddle_before = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    compare_models(ours, theirs, INPUTS)
    assert ours.training
    assert not ours.head.training
    assert all(layer.training for layer in theirs.sublayers(include_self=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())
    assert all(np.array_equal(tensor.numpy(), paddle_before[name]) for name, tensor in theirs.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in ours.modules())
    assert not any(
        layer._forward_post_hooks or layer._forward_pre_hooks for layer in theirs.sublayers(include_self=True)
    )


@pytest.mark.parametrize("side", ["torch", "Paddle"])
@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_exception_inside_a_model_ends_cleanly(twins, side, kind):
    ours, theirs = twins
    model = ours.backbone.stage3[1] if side == "torch" else sublayer(theirs, "backbone.stage3.1")
    original = model.forward

    def forward(self, features):
        raise kind("stop here")

    model.forward = MethodType(forward, model)
    with pytest.raises(kind, match="stop here"):
        compare_models(ours, theirs, INPUTS)
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in ours.modules())
    model.forward = original
    assert compare_models(ours, theirs, INPUTS, dtypes=["float64"])


class TorchNet(nn.Module):
    """In-place activations, a functional one, a module used twice, outputs in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.shared = nn.Conv2d(4, 4, 1)
        self.linear = nn.Linear(4, 5)

    def forward(self, images):
        features = self.relu(self.norm(self.first(images)))
        features = torch.tanh(self.shared(self.shared(features)))
        return {"map": features, "scores": [self.linear(features.mean((2, 3)))]}


class PaddleNet(pnn.Layer):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.first = pnn.Conv2D(3, 4, 3, padding=1)
        self.norm = pnn.BatchNorm2D(4)
        self.relu = pnn.ReLU()
        self.shared = pnn.Conv2D(4, 4, 1)
        self.linear = pnn.Linear(4, 5)

    def forward(self, images):
        features = pnn.functional.relu_(self.norm(self.first(images)))
        features = paddle.tanh(self.shared(self.shared(features)))
        return {"map": features, "scores": [self.linear(features.mean([2, 3]))]}


def make_small_pair():
    ours, theirs = TorchNet(), PaddleNet()
    for name, module in ours.named_children():
        for leaf, value in module.named_parameters():
            array = value.detach().numpy()
            array = array.T if name == "linear" and leaf == "weight" else array
            getattr(getattr(theirs, name), leaf).set_value(np.ascontiguousarray(array))
    ours.norm.eps = float(np.float32(1e-5))
    return ours, theirs


def test_any_pair_of_networks():
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 9))
    report = compare_models(*make_small_pair(), images)
    assert report, report.summary
    assert report.coverage.uncalled == ("relu",)
    assert {layer.call for layer in report.layers if layer.path == "shared"} == {0, 1}
    assert {layer.output for layer in report.layers if layer.path == ""} == {0, 1}


def test_in_place_operations_cannot_hide_a_fault():
    """torch's ReLU overwrites what the norm gave: the norm must have been seen before."""
    ours, theirs = make_small_pair()
    theirs.norm.bias.set_value(theirs.norm.bias - 100.0)
    ours.norm.bias.data -= 101.0
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 9))
    assert "norm" in [path for path, _ in guilty_of(compare_models(ours, theirs, images, dtypes=["float64"]))]


def test_constant_output_proves_nothing():
    ours, theirs = make_small_pair()
    theirs.norm.bias.set_value(theirs.norm.bias - 100.0)
    ours.norm.bias.data -= 100.0
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 9))
    report = compare_models(ours, theirs, images, dtypes=["float64"])
    assert not report
    assert any("constant" in layer.comparison.reason for layer in report.failures)


def test_only_skip_and_fail_fast(twins):
    ours, theirs = twins
    only = compare_models(ours, theirs, INPUTS, dtypes=["float64"], only=["head.*"], skip=["head.fuse*"])
    assert all(layer.path.startswith("head.") for layer in only.layers)
    assert not any("fuse" in layer.path for layer in only.layers)
    weight = sublayer(theirs, "backbone.stem.0.conv").weight
    weight.set_value(weight * 1.01)
    fast = compare_models(ours, theirs, INPUTS, fail_fast=True)
    assert len(fast.failures) == 1
    assert guilty_of(fast) == [("backbone.stem.0.conv", 0)]


def test_nothing_compared_is_no_pass(twins):
    for option in ("only", "skip"):
        with pytest.raises(ParityInputError, match=f"--{option} nonsense: matches no layer"):
            compare_models(*twins, INPUTS, dtypes=["float64"], **{option: ["nonsense"]})
    report = compare_models(*twins, INPUTS, dtypes=["float64"], skip=["*"])
    assert not report
    assert "nothing was compared" in report.summary


def test_a_tensor_more_is_a_failure(twins):
    ours, theirs = twins
    original = theirs.forward
    theirs.forward = MethodType(lambda self, images: (*original(images), images), theirs)
    report = compare_models(ours, theirs, INPUTS, dtypes=["float64"])
    assert guilty_of(report) == [("", 0)]
    assert "3 tensors" in report.summary
