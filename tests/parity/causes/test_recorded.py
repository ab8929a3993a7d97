"""Causes against a recording: what the recording proves is named as where both run, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models_paddle import paddle
from parity.causes.recorded.layers import ACTIVATIONS, read_layer
from parity.engine import record as recorder
from parity.engine.harness import compare_models
from parity.engine.surroundings import exact_in_float64
from parity.networks.arguments import Arguments
from parity.networks.modules import paddle_modules, torch_modules
from parity.networks.recorded import Recording
from parity.pairing.match import give_weights, match_port
from parity.pairing.propose import pair_modules
from parity.recordings.compare import compare_recordings
from parity.verdicts.report import Guilty
from tests.parity.causes.pairs import (
    ATTENTION_IMAGES,
    IMAGES,
    PaddleAttention,
    PaddleBlock,
    TorchAttention,
    TorchBlock,
    settle,
)
from tests.parity.causes.test_explain import LAYERS, Odd, Plain, _set

pnn = paddle.nn


def explain(
    folder: Path, reference: nn.Module, port: Any, images: Any = IMAGES, edit: Callable[[Any], None] | None = None
) -> tuple[Guilty, Guilty]:
    """The first guilty layer of a port that runs against the recording, and of its own recording."""
    settle(reference)
    give_weights(reference, port, pair_modules(torch_modules(reference), paddle_modules(port), None), {})
    if edit is not None:
        edit(port)
    inputs = {name: Arguments((array,)) for name, array in images.items()}
    kept = {"keep": "tensors", "name": "ref:build", "weights": None, "say": lambda said: None}
    recorder.ReferenceRecorder(reference, inputs).record(folder / "reference", **kept)
    recording = Recording(folder / "reference")
    pairing, _ = match_port(recording, port, None, given=True)
    live = compare_models(recording, port, recording.inputs, pairs=pairing, mode="isolated", dtypes=["float64"])
    recorder.record_port(port, recording.inputs, folder / "port", loaded=True, **kept)
    both = compare_recordings(folder / "port", folder / "reference")
    return live.guilty[0], both.guilty[0]


@pytest.mark.parametrize(("reference", "port", "name", "fix"), LAYERS)
def test_settings_of_layers(tmp_path: Path, reference: Any, port: Any, name: str, fix: str) -> None:
    for guilty in explain(tmp_path, nn.Sequential(reference()), pnn.Sequential(port())):
        assert guilty.cause is not None
        assert name in guilty.cause.name
        assert guilty.cause.proved
        assert fix in guilty.cause.fix or name == "bias missing"


@pytest.mark.parametrize(
    ("reference", "port", "text"),
    [
        (nn.LeakyReLU(0.1), pnn.LeakyReLU(0.3), "slope is 0.3, the reference's is 0.1"),
        (nn.ReLU(), pnn.ReLU6(), "ReLU6 stands where the reference has ReLU"),
        (nn.GELU(), pnn.GELU(approximate=True), "its input goes through GELU by tanh, the reference's through GELU"),
        (nn.AvgPool2d(3, 1, 1), pnn.AvgPool2D(3, 1, 1), "exclusive is True, the reference's is False"),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), pnn.MaxPool2D(3, 2, 1), "ceil_mode is False, the reference's is True"),
        (nn.MaxPool2d(2), pnn.AvgPool2D(2), "AvgPool2D stands where the reference has MaxPool2d"),
        (nn.Softmax(1), pnn.Softmax(3), "axis is 3, the reference's is 1"),
    ],
)
def test_layers_without_parameters(tmp_path: Path, reference: nn.Module, port: Any, text: str) -> None:
    whole = nn.Sequential(nn.Conv2d(4, 4, 1), reference), pnn.Sequential(pnn.Conv2D(4, 4, 1), port)
    cause = explain(tmp_path, *whole)[0].cause
    assert cause is not None
    assert cause.text == text


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("residual missing", "its input is not added"),
        ("activated first", "its input is added after LeakyReLU 0.1, the reference's before"),
        ("no activation", "the sum goes through no activation, the reference's through LeakyReLU 0.1"),
        ("slope", "the sum goes through LeakyReLU 0.02, the reference's through LeakyReLU 0.1"),
        ("order", "8 of 8 channels are in another order"),
        ("average", None),
        ("no norm", None),
        ("tripled", None),
    ],
)
def test_how_layers_are_joined(tmp_path: Path, wrong: str, text: str | None) -> None:
    live, both = explain(tmp_path, TorchBlock(), PaddleBlock(wrong))
    for guilty in (live, both):
        assert (guilty.cause is None) == (text is None)
        assert text is None or (guilty.cause is not None and text in guilty.cause.text)
        assert text is not None or (guilty.tried > 10 and "it differs in 4 of 8 channels only" in guilty.facts[0])
    assert text is None or "pairs.py:" in live.cause.fix


class TorchPyramid(nn.Module):
    """Two resolutions, joined at the higher one."""

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low, self.out = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 5, 3, 2, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Any) -> Any:
        low = nn.functional.interpolate(self.low(x), x.shape[2:], mode="bilinear", align_corners=False)
        return self.out(torch.cat([self.high(x), nn.functional.hardsigmoid(low)], 1)) * 2


class PaddlePyramid(pnn.Layer):
    """Its port; the activation, or the way of resizing, may be another."""

    def __init__(self, *, corners: bool = False, activated: bool = True) -> None:
        super().__init__()
        self.high, self.low, self.out = pnn.Conv2D(4, 3, 1), pnn.Conv2D(4, 5, 3, 2, 1), pnn.Conv2D(8, 2, 1)
        self.corners, self.activated = corners, activated

    def forward(self, x: Any) -> Any:
        functional = paddle.nn.functional
        low = functional.interpolate(self.low(x), x.shape[2:], mode="bilinear", align_corners=self.corners)
        low = functional.hardsigmoid(low) if self.activated else low
        return self.out(paddle.concat([self.high(x), low], 1)) * 2


def test_paddles_own_constants_are_no_mistake(tmp_path: Path) -> None:
    """Its Hardsigmoid's slope and its resize's positions are float32 in float64 too."""
    reference, port = settle(TorchPyramid()), PaddlePyramid()
    images = {"images": Arguments((IMAGES["odd"],))}
    kept = {"keep": "tensors", "name": "ref:build", "weights": None, "say": lambda said: None}
    recorder.ReferenceRecorder(reference, images).record(tmp_path / "reference", **kept)
    recording = Recording(tmp_path / "reference")
    pairing, summary = match_port(recording, port, None)
    report = compare_models(recording, port, recording.inputs, pairs=pairing, weights=summary)
    assert report, report.summary
    assert sum("Paddle's own" in note for note in report.notes) == 2
    recorder.record_port(port, recording.inputs, tmp_path / "port", loaded=True, **kept)
    assert compare_recordings(tmp_path / "port", tmp_path / "reference")


def test_a_resize_by_another_way_is_named_in_the_channels_that_it_makes(tmp_path: Path) -> None:
    class Plain(TorchPyramid):
        def forward(self, x: Any) -> Any:
            low = nn.functional.interpolate(self.low(x), x.shape[2:], mode="bilinear", align_corners=False)
            return self.out(torch.cat([self.high(x), low], 1)) * 2

    for guilty in explain(tmp_path, Plain(), PaddlePyramid(corners=True, activated=False)):
        assert guilty.cause is not None
        assert guilty.cause.text == (
            "channels 3–7: the output of `low` is resized by bilinear, align_corners=True, "
            "the reference's by bilinear, align_corners=False"
        )


@pytest.mark.parametrize(("wrong", "name"), [("residual", "term missing"), ("axis", None), ("gamma", None)])
def test_attention_by_hand(tmp_path: Path, wrong: str, name: str | None) -> None:
    for guilty in explain(tmp_path, TorchAttention(), PaddleAttention(wrong), ATTENTION_IMAGES):
        assert (guilty.cause and guilty.cause.name) == name


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (_set("weight", lambda w: w.transpose(1, 0, 2, 3)), "weight transposed"),
        (_set("weight", lambda w: w[[2, 0, 1, 3]]), "channels in another order"),
        (_set("bias", np.zeros_like), "not loaded"),
    ],
)
def test_weights(tmp_path: Path, edit: Callable[[Any], None], name: str) -> None:
    for guilty in explain(tmp_path, TorchBlock(), PaddleBlock(), edit=edit):
        assert guilty.cause is not None
        assert guilty.cause.name == name
        assert "`conv." in guilty.cause.text


@pytest.mark.parametrize(
    ("kind", "fact"),
    [("factor", "it is 1.37 times the reference's"), ("channel", "it differs in 1 of 4 channels only: 2")],
)
def test_what_nothing_explains_is_measured(tmp_path: Path, kind: str, fact: str) -> None:
    for guilty in explain(tmp_path, Plain(), Odd(kind)):
        assert guilty.cause is None
        assert fact in guilty.facts


class ABN(nn.BatchNorm2d):
    """InPlaceABN in one layer: by the scale's magnitude, and activated."""

    def forward(self, x: Any) -> Any:
        scale = self.weight.abs() + self.eps
        y = nn.functional.batch_norm(x, self.running_mean, self.running_var, scale, self.bias, eps=self.eps)
        return nn.functional.leaky_relu(y, 0.01)


class PaddleABN(pnn.BatchNorm2D):
    """Its port."""

    def forward(self, x: Any) -> Any:
        return paddle.nn.functional.leaky_relu(super().forward(x), 0.01)


def test_a_layer_that_does_more_is_drawn_with_what_it_ends_in(tmp_path: Path) -> None:
    for guilty in explain(tmp_path, nn.Sequential(ABN(4)), pnn.Sequential(PaddleABN(4, epsilon=1e-3))):
        assert guilty.cause is not None
        assert guilty.cause.name == "epsilon"
        assert guilty.cause.residual is not None
        assert guilty.cause.residual <= 1e-10


class Wrong(pnn.BatchNorm2D):
    """A norm of another epsilon that is wrong besides."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) + 0.1 * x * x


def test_a_setting_that_differs_is_no_cause_where_it_does_not_explain_it(tmp_path: Path) -> None:
    for guilty in explain(tmp_path, nn.Sequential(nn.BatchNorm2d(4)), pnn.Sequential(Wrong(4, epsilon=1e-2))):
        assert guilty.cause is None
        assert guilty.facts[0] == "epsilon is 0.01, the reference's is 1e-05"


DRAWN = (
    nn.Conv2d(4, 6, 3, 2, 1),
    nn.Conv2d(4, 6, (3, 1), 1, (2, 0), 2, groups=2, bias=False),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=4),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate"),
    nn.BatchNorm2d(4, eps=1e-3),
    nn.BatchNorm2d(4, affine=False),
    nn.InstanceNorm2d(4, affine=True),
    nn.GroupNorm(2, 4),
    nn.LayerNorm(11),
    nn.Linear(11, 5),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d(3, 2, 1),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d(2, count_include_pad=False),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    nn.Softmax(1),
    nn.LeakyReLU(0.3),
    *(getattr(nn, name)() for name in ACTIVATIONS if name.isalnum()),
)


@pytest.mark.parametrize("module", DRAWN, ids=str)
def test_layers_are_drawn_as_torch_has_them(module: nn.Module) -> None:
    images = np.random.default_rng(0).standard_normal((2, 4, 9, 11)) * 3
    settle(module.double())
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    layer = read_layer(torch_modules(module)[""])
    assert layer is not None
    np.testing.assert_allclose(layer.run(images), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(
    "layer",
    [
        pnn.Conv2D(4, 6, 3, 2, 1, dilation=2, groups=2),
        pnn.BatchNorm2D(4, epsilon=1e-3),
        pnn.GroupNorm(2, 4),
        pnn.MaxPool2D(3, 2, 1, ceil_mode=True),
        pnn.AvgPool2D(3, 2, 1, exclusive=False),
        pnn.LeakyReLU(0.3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_drawn_as_paddle_has_them(layer: Any) -> None:
    images = np.random.default_rng(0).standard_normal((2, 4, 9, 11))
    layer.to(dtype="float64").eval()
    drawn = read_layer(paddle_modules(layer)[""])
    assert drawn is not None
    with exact_in_float64():
        expected = layer(paddle.to_tensor(images)).numpy()
    np.testing.assert_allclose(drawn.run(images), expected, rtol=0, atol=1e-7 if "Norm" in str(layer) else 1e-12)


def test_another_setting_is_another_layer() -> None:
    layer = read_layer(torch_modules(nn.LeakyReLU(0.3))[""])
    assert layer is not None
    assert replace(layer, settings={"slope": 0.5}).run(np.array([-2.0])) == [-1.0]
    assert read_layer(torch_modules(nn.ConvTranspose2d(1, 1, 1))[""]) is None
