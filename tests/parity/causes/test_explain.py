"""The cause of a guilty layer is named where it is proved, and nothing is guessed where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.networks.modules import paddle_modules, torch_modules
from parity.pairing.match import give_weights
from parity.pairing.propose import pair_modules
from tests.parity.causes.pairs import (
    ATTENTION_IMAGES,
    IMAGES,
    PaddleAttention,
    PaddleBlock,
    TorchAttention,
    TorchBlock,
    compare,
    only,
    settle,
)

pnn = paddle.nn
LAYERS: tuple[tuple[Callable[[], Any], Callable[[], Any], str, str], ...] = (
    (lambda: nn.BatchNorm2d(4), lambda: pnn.BatchNorm2D(4, epsilon=1e-2), "epsilon", "epsilon=1e-05"),
    (lambda: nn.BatchNorm2d(4, eps=1e-3), lambda: pnn.BatchNorm2D(4), "epsilon", "epsilon=0.001"),
    (lambda: nn.GroupNorm(2, 4), lambda: pnn.GroupNorm(4, 4), "groups", "num_groups=2"),
    (lambda: nn.Conv2d(4, 3, 3, padding=1), lambda: pnn.Conv2D(4, 3, 3), "padding", "padding=1"),
    (lambda: nn.Conv2d(4, 3, 3, 2, 1), lambda: pnn.Conv2D(4, 3, 3, 1, 1), "stride", "stride=2"),
    (lambda: nn.Conv2d(4, 3, 3, 1, 2, 2), lambda: pnn.Conv2D(4, 3, 3, 1, 1), "dilation", "dilation=2"),
    (
        lambda: nn.Conv2d(4, 3, 3, padding=1),
        lambda: pnn.Conv2D(4, 3, 3, padding=1, padding_mode="circular"),
        "padding mode",
        "padding_mode=zeros",
    ),
    (lambda: nn.Conv2d(4, 3, 1), lambda: pnn.Conv2D(4, 3, 1, bias_attr=False), "bias missing", "bias"),
)


@pytest.mark.parametrize(("reference", "port", "name", "fix"), LAYERS)
def test_settings_of_layers(reference: Callable[[], Any], port: Callable[[], Any], name: str, fix: str) -> None:
    report = compare(nn.Sequential(reference()), pnn.Sequential(port()))
    cause = only(report).cause
    assert cause is not None
    assert cause.name == name
    assert fix in cause.fix
    assert cause.proved
    assert cause.residual is not None
    assert cause.residual <= 1e-10


@pytest.mark.parametrize(
    ("reference", "port", "name"),
    [
        (nn.LeakyReLU(0.1), pnn.LeakyReLU(0.3), "slope"),
        (nn.ReLU(), pnn.ReLU6(), "activation"),
        (nn.GELU(), pnn.GELU(approximate=True), "activation"),
        (nn.Hardsigmoid(), pnn.Sigmoid(), "activation"),
        (nn.AvgPool2d(3, 1, 1), pnn.AvgPool2D(3, 1, 1), "exclusive"),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), pnn.MaxPool2D(3, 2, 1), "ceil_mode"),
        (nn.MaxPool2d(2), pnn.AvgPool2D(2), "kind of pooling"),
        (nn.AdaptiveAvgPool2d(2), pnn.AdaptiveMaxPool2D(2), "kind of pooling"),
        (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            pnn.Upsample(scale_factor=2, mode="bilinear"),
            "align_corners",
        ),
        (nn.AdaptiveAvgPool2d(2), pnn.AdaptiveAvgPool2D(3), "output size"),
        (nn.Softmax(1), pnn.Softmax(3), "axis of softmax"),
        (nn.Dropout(0.3), pnn.Dropout(0.3, mode="downscale_in_infer"), "dropout downscales"),
    ],
)
def test_layers_without_parameters(reference: nn.Module, port: Any, name: str) -> None:
    report = compare(nn.Sequential(nn.Conv2d(4, 4, 1), reference), pnn.Sequential(pnn.Conv2D(4, 4, 1), port))
    cause = only(report).cause
    assert cause is not None
    assert cause.name == name


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("residual missing", "term missing"),
        ("activated first", "activation before the sum"),
        ("no activation", "activation missing"),
        ("slope", "slope"),
        ("average", "kind of pooling"),
        ("order", "order of concatenation"),
        ("no norm", "norm missing"),
    ],
)
def test_how_layers_are_joined(wrong: str, name: str) -> None:
    cause = only(compare(TorchBlock(), PaddleBlock(wrong))).cause
    assert cause is not None
    assert cause.name == name
    assert "pairs.py:" in cause.fix


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("swapped", "layers exchanged"),
        ("scale", "factor missing"),
        ("mask", "mask missing"),
        ("finite", None),  # -1e4 masks as minus infinity does: no mistake
        ("axis", "axis of softmax"),
        ("turned", "not transposed"),
        ("gamma", "factor missing"),
        ("residual", "term missing"),
    ],
)
def test_attention_by_hand(wrong: str, name: str | None) -> None:
    report = compare(TorchAttention(), PaddleAttention(wrong), ATTENTION_IMAGES)
    if name is None:
        assert not report.guilty
        return
    cause = only(report).cause
    assert cause is not None
    assert cause.name == name


def _set(name: str, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def edit(port: Any) -> None:
        tensor = getattr(port.conv, name)
        tensor.set_value(np.ascontiguousarray(make(tensor.numpy())))

    return edit


class PaddedByMean(pnn.Conv2D):
    """A convolution that pads by the grey of a picture."""

    def forward(self, x: Any) -> Any:
        padded = paddle.nn.functional.pad(x, [1, 1, 1, 1], value=127.5)
        return paddle.nn.functional.conv2d(padded, self.weight, self.bias)


def test_a_number_that_stands_nowhere_is_solved_for() -> None:
    report = compare(nn.Sequential(nn.Conv2d(4, 3, 3, padding=1)), pnn.Sequential(PaddedByMean(4, 3, 3)))
    cause = only(report).cause
    assert cause is not None
    assert cause.text == "the value of padding is 127.5, the reference's is 0"


class Fresh(pnn.Layer):
    """A norm that was never trained: with one variance, whatever scales its output looks like another epsilon."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv, self.norm, self.kind = pnn.Conv2D(4, 4, 1), pnn.BatchNorm2D(4), kind

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        return y if self.kind == "left out" else 0.9 * self.norm(y)


class FreshReference(nn.Module):
    """Its reference."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Any) -> Any:
        return self.norm(self.conv(x))


@pytest.mark.parametrize(("kind", "name"), [("left out", "norm missing"), ("scaled", None)])
def test_an_untrained_norm_is_not_said_to_have_another_epsilon(kind: str, name: str | None) -> None:
    reference, port = FreshReference().eval(), Fresh(kind)
    pairing = pair_modules(torch_modules(reference), paddle_modules(port), None)
    give_weights(reference, port, pairing, {})
    guilty = only(compare_models(reference, port, IMAGES, mode="isolated", dtypes=["float64"]))
    assert (guilty.cause and guilty.cause.name) == name
    assert name or "it is 0.9 times the reference's" in guilty.facts


def test_two_mistakes_in_one_layer_are_both_named() -> None:
    port = pnn.Conv2D(4, 3, 3, padding=1, padding_mode="reflect", bias_attr=False)
    cause = only(compare(nn.Sequential(nn.Conv2d(4, 3, 3, padding=1)), pnn.Sequential(port))).cause
    assert cause is not None
    assert set(cause.name.split(" and ")) == {"padding mode", "bias missing"}


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (_set("weight", lambda w: w.transpose(1, 0, 2, 3)), "weight transposed"),
        (_set("weight", lambda w: w[:, :, ::-1, ::-1]), "weight flipped in height and width"),
        (_set("weight", lambda w: w[[2, 0, 1, 3]]), "channels in another order"),
        (_set("weight", lambda w: w.astype(np.float16).astype(np.float32)), "rounded to float16"),
        (_set("weight", lambda w: 2 * w), "weight scaled"),
        (_set("bias", np.zeros_like), "not loaded"),
        (_set("weight", lambda w: w + (w == w.max()) * np.float32(0.01)), "weight differs"),
    ],
)
def test_weights(edit: Callable[[Any], None], name: str) -> None:
    cause = only(compare(TorchBlock(), PaddleBlock(), edit=edit)).cause
    assert cause is not None
    assert cause.name == name


def test_a_fault_of_no_catalogue_is_measured_and_not_guessed() -> None:
    guilty = only(compare(TorchBlock(), PaddleBlock("tripled")))
    assert guilty.cause is None
    assert guilty.tried > 20
    assert guilty.to_json()["cause"] is None
    assert guilty.reasons[0] == f"cause not found: {guilty.tried} hypotheses tried, none repeats it"


class Odd(pnn.Layer):
    """A fault by `kind`, after a right layer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv, self.kind = pnn.Conv2D(4, 4, 1), kind

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        if self.kind == "constant":
            return y + 0.37
        if self.kind == "factor":
            return y * 1.37
        mask = paddle.zeros_like(y)
        if self.kind == "border":
            mask[:, :, 0] = 1.0
        else:
            mask[:, 2] = 1.0
        return y + mask * y * y


class Plain(nn.Module):
    """Its reference."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        return self.conv(x)


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("constant", "the difference is the constant 0.37"),
        ("factor", "it is 1.37 times the reference's"),
        ("border", "it differs only within 1 pixel of the border"),
        ("channel", "it differs in 1 of 4 channels only: 2"),
    ],
)
def test_facts(kind: str, fact: str) -> None:
    guilty = only(compare(Plain(), Odd(kind)))
    assert guilty.cause is None
    assert fact in guilty.facts


def test_two_that_fit_are_both_named_unless_one_more_input_tells() -> None:
    """Where nothing exceeds 6, ReLU and ReLU6 are one; a random input tells, the port's own layer being at hand."""
    images = {"small": np.abs(np.random.default_rng(0).standard_normal((2, 4, 5, 6))) * 0.01}
    reference, port = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh()), pnn.Sequential(pnn.Conv2D(4, 4, 1), pnn.ReLU())
    cause = only(compare(reference, port, images)).cause
    assert cause is not None
    assert "ReLU stands where the reference has Tanh" in cause.text


def test_nothing_is_asked_of_what_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("parity.engine.reasons.Reasons.find", fail)
    assert compare(TorchBlock(), PaddleBlock())


def test_a_unit_too_large_to_be_kept_has_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.causes.replay.MOST_RECORDED", 100)
    guilty = only(compare(TorchBlock(), PaddleBlock("order")))
    assert guilty.cause is None
    assert not guilty.reasons


def test_the_first_fault_of_a_run_that_stops_there_is_explained() -> None:
    reference, port = TorchBlock(), PaddleBlock("slope")
    pairing = pair_modules(torch_modules(settle(reference)), paddle_modules(port), None)
    give_weights(reference, port, pairing, {})
    report = compare_models(reference, port, IMAGES, mode="isolated", dtypes=["float64"], fail_fast=True)
    cause = only(report).cause
    assert cause is not None
    assert (cause.name, cause.text) == ("slope", "the slope is 0.02, the reference's is 0.1")


def test_reference_is_left_as_it_was() -> None:
    reference = TorchBlock()
    before = nn.Module.__call__
    report = compare(reference, PaddleBlock("order"))
    kept = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    assert not report
    assert nn.Module.__call__ is before
    compare(reference, PaddleBlock("slope"), edit=_set("weight", lambda w: 2 * w))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in reference.state_dict().items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in reference.modules())
