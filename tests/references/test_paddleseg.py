"""Both twins against PaddleSeg's own CCNet, in evaluation and in training, with the same random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet50_vd, ResNet101_vd

from converter import convert_file, convert_tensors
from converter.plan import expected_tensors
from families import get_family
from families.rules import Assignment
from tests.converter.checkpoints import assert_same_tensors, load_into_twin
from tests.golden.weights import make_image
from tests.references.twins import (
    FLOAT32_LIMIT,
    FRAMEWORKS,
    Array,
    Twin,
    as_array,
    half_precision,
    rounding,
    without_gradients,
)
from twins.standin import make_state_dict

FLOAT64_LIMIT = 1e-11
"""Of the greatest magnitude of PaddleSeg's output."""
LOSS_LIMIT = 1e-12
GRADIENT_LIMIT = 1e-9
"""Of the greatest gradient of the layer; of the network's where it is zero by analysis."""

BACKBONES = {50: ResNet50_vd, 101: ResNet101_vd}
CASES = ((50, 1), (101, 2))  # depth, recurrence
SIZES = ((33, 33), (32, 32), (26, 49))
IGNORED = 255
OUTPUTS = ("logits", "auxiliary_logits")
IMAGES = make_image((2, 3, 33, 42), 3)
LABELS = np.random.default_rng(3).choice([*range(19), IGNORED], (2, 5, 6))
ZERO_GRADIENT = (
    "head.attention.key.bias",  # softmax ignores a constant
    "head.fuse.conv.bias",  # a batch norm in training removes a constant
    "auxiliary_head.fuse.conv.bias",
)


class Reference:
    """PaddleSeg's network: both heads' logits as they are before the resize."""

    def __init__(self, depth: int, recurrence: int, state: Mapping[str, Array]) -> None:
        self.model = CCNet(19, BACKBONES[depth](output_stride=8), recurrence=recurrence)
        self.load(state)
        self.seen: dict[str, Any] = {}
        for name, layer in {
            "features": self.model.backbone,
            "logits": self.model.head,
            "auxiliary_logits": self.model.aux_head,
        }.items():
            layer.register_forward_post_hook(lambda _, inputs, output, name=name: self.seen.__setitem__(name, output))

    def load(self, state: Mapping[str, Array]) -> None:
        assert self.model.set_state_dict(dict(state)) == ([], [])

    def run(self, images: Array) -> dict[str, Array]:
        """As `Twin.run`. PaddleSeg leaves its auxiliary head out of an evaluation; it is called for itself here."""
        self.model.eval()
        self.model.to(dtype=str(images.dtype))
        with without_gradients("paddle"):
            (resized,) = self.model(paddle.to_tensor(images))
            self.model.aux_head(self.seen["features"][2])
        assert tuple(resized.shape) == (len(images), 19, *images.shape[2:])
        return {name: as_array(self.seen[name]) for name in OUTPUTS}

    def train(self, images: Array) -> Any:
        """Logits and auxiliary logits (N, K, h, w) of a float64 training pass."""
        self.model.to(dtype="float64")
        self.model.train()
        self.model(paddle.to_tensor(images))
        return [self.seen[name] for name in OUTPUTS]


Case = tuple[Reference, dict[str, Twin]]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"R{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    depth, recurrence = request.param
    state = make_state_dict("paddleseg", seed=0, depth=depth)
    size = {"num_classes": 19, "recurrence": recurrence, "depth": depth}
    tensors = convert_tensors(state)
    twins = {framework: Twin.build(framework, "paddleseg", tensors, **size) for framework in FRAMEWORKS}
    for layer in (twins["torch"].model.head.reduce, twins["torch"].model.head.refine):
        layer.activation.negative_slope = paddles_slope()
    return Reference(depth, recurrence, state), twins


@pytest.mark.parametrize("depth", BACKBONES)
def test_the_keys_are_paddlesegs(depth: int) -> None:
    assignments, shapes = expected_tensors(get_family("paddleseg"), depth=depth, num_classes=21)
    own = CCNet(21, BACKBONES[depth](output_stride=8)).state_dict()
    assert {item.source: shapes[str(item.target)] for item in assignments} == {
        key: tuple(value.shape) for key, value in own.items()
    }


def test_paddleseg_loads_what_comes_back(tmp_path: Path) -> None:
    """Its own file, through the twins' keys, is bit for bit its own file again."""
    model = CCNet(5, ResNet50_vd(output_stride=8))
    own, twin, back = (tmp_path / f"{name}.pdparams" for name in ("own", "twin", "back"))
    paddle.save(model.state_dict(), str(own))
    convert_file(own, twin, load_check=load_into_twin)
    convert_file(twin, back, keys="paddleseg", load_check=load_into_twin)
    state = paddle.load(str(back))
    assert_same_tensors({key: value.numpy() for key, value in state.items()}, paddle.load(str(own), return_numpy=True))
    assert model.set_state_dict(state) == ([], [])


def test_evaluation(case: Case) -> None:
    reference, twins = case
    for size in SIZES:
        images = make_image((1, 3, *size), 1)
        exact = reference.run(images)
        own = rounding(reference.run, images, exact)
        for framework, twin in twins.items():
            in_float64, found = twin.run(images), rounding(twin.run, images, exact)
            for name in OUTPUTS:
                where = framework, size, name
                assert distance(in_float64[name], exact[name]) <= FLOAT64_LIMIT * np.abs(exact[name]).max(), where
                assert found[name] <= FLOAT32_LIMIT * own[name], where


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_half_precision_in_one_layer_is_seen(case: Case, framework: str) -> None:
    reference, twins = case
    twin, images = twins[framework], make_image((1, 3, *SIZES[0]), 1)
    exact = reference.run(images)
    hook = half_precision(twin, twin.model.auxiliary_head.fuse.conv)
    found = rounding(twin.run, images, exact)["auxiliary_logits"]
    hook.remove()
    assert found > 2 * FLOAT32_LIMIT * rounding(reference.run, images, exact)["auxiliary_logits"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_another_recurrence_is_seen(case: Case, framework: str) -> None:
    reference, twins = case
    images, head = make_image((1, 3, *SIZES[0]), 1), twins[framework].model.head
    head.recurrence += 1
    wrong = twins[framework].run(images)["logits"]
    head.recurrence -= 1
    assert distance(wrong, reference.run(images)["logits"]) > 1e-3


def test_training(case: Case) -> None:
    reference, twins = case
    canonical = {item.source: item.target for item in expected_assignments(reference)}
    loss = paddle_loss(reference.train(IMAGES))
    loss.backward()
    expected = {canonical[key]: as_array(value.grad) for key, value in trainable(reference.model)}
    network = max(np.abs(gradient).max() for gradient in expected.values())
    for framework, twin in twins.items():
        actual_loss, gradients = train(framework, twin)
        assert abs(actual_loss - float(loss)) <= LOSS_LIMIT * float(loss), framework
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            scale = network if name in ZERO_GRADIENT else layer_scale(expected, name)
            assert distance(gradient, expected[name]) <= GRADIENT_LIMIT * scale, (framework, name)


def expected_assignments(reference: Reference) -> list[Assignment]:
    depth = {16: 50, 33: 101}[sum(len(stage) for stage in reference.model.backbone.stage_list)]
    return expected_tensors(get_family("paddleseg"), depth=depth, num_classes=19)[0]


def train(framework: str, twin: Twin) -> tuple[float, dict[str, Array]]:
    """Loss and every parameter's gradient of the twin in float64, without dropout."""
    model = twin.cast("float64").model
    model.train()
    for head in (model.head, model.auxiliary_head):
        head.dropout.p = 0.0
    outputs = model(twin.tensor(IMAGES))
    loss = torch_loss(outputs) if framework == "torch" else paddle_loss(outputs)
    loss.backward()
    return float(loss), {name: as_array(parameter.grad) for name, parameter in trainable(model)}


def paddles_slope() -> float:
    """0.01 as Paddle computes with it in float64: Paddle 2 keeps it as a float32, Paddle 3 as a double."""
    return -float(paddle.nn.functional.leaky_relu(paddle.to_tensor([-1.0], dtype="float64")))


def trainable(model: Any) -> list[tuple[str, Any]]:
    """Names and parameters; Paddle counts running statistics among them."""
    return [(name, value) for name, value in model.named_parameters() if not name.endswith(("_mean", "_variance"))]


def torch_loss(outputs: Sequence[Any]) -> Any:
    labels = torch.from_numpy(LABELS)
    losses = [torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED) for logits in outputs]
    return losses[0] + 0.4 * losses[1]


def paddle_loss(outputs: Sequence[Any]) -> Any:
    losses = [
        paddle.nn.functional.cross_entropy(logits, paddle.to_tensor(LABELS), axis=1, ignore_index=IGNORED)
        for logits in outputs
    ]
    return losses[0] + 0.4 * losses[1]


def distance(actual: Array, expected: Array) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max())


def layer_scale(gradients: Mapping[str, Array], name: str) -> float:
    """Greatest gradient of the layer that `name` belongs to."""
    layer = name.rpartition(".")[0]
    return max(float(np.abs(value).max()) for key, value in gradients.items() if key.rpartition(".")[0] == layer)
