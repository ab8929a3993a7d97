"""Both twins against the official and the pure-PyTorch network's own outputs, every intermediate probe included."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from converter import convert_tensors, to_paddle
from models_paddle import build_ccnet, paddle
from models_paddle.weights import load_weights as load_paddle
from models_torch.weights import build_uninitialised as build_torch
from models_torch.weights import load_weights as load_torch
from tests.golden.weights import GOLDEN, make_image, make_state_dict

Array = np.ndarray[Any, Any]

FLOAT64_LIMIT = 1e-11
"""Of the greatest magnitude of the reference's output."""
FLOAT32_LIMIT = 4
"""Times the reference's own distance from its float64 output."""

PROBES = {
    "bn1": "backbone.stem.0.norm",
    "relu1": "backbone.stem.0",
    "relu2": "backbone.stem.1",
    "relu3": "backbone.stem.2",
    "maxpool": "backbone.pool",
    "layer1": "backbone.stage1",
    "layer2": "backbone.stage2",
    "layer3": "backbone.stage3",
    "layer4": "backbone.stage4",
    "dsn": "auxiliary_head",
    "head.conva": "head.reduce",
    "head.cca": "head.attention",
    "head.convb": "head.refine",
    "head.bottleneck": "head",
}
"""The reference's module -> the canonical one with the same output."""

FAMILIES = ("official", "pure_pytorch")
GOLDENS = {family: np.load(GOLDEN / f"{family}_eval.npz") for family in FAMILIES}
CASES = sorted(
    (family, key.partition("/")[0])
    for family in FAMILIES
    for key in GOLDENS[family].files
    if key.endswith("/logits") and "float64" in key
)


def digest(value: Array) -> Array:
    flat = value.reshape(-1)
    samples = flat[np.linspace(0, flat.size - 1, 64).astype(np.int64)]
    return np.concatenate([[flat.mean(), flat.std(), flat.min(), flat.max()], samples])


def parse(case: str) -> tuple[tuple[int, ...], int]:
    """`s0_2x3x65x129_r2_float64` -> shape, recurrence (2 where the name has none)."""
    shape = re.search(r"(\d+)x3x(\d+)x(\d+)", case)
    recurrence = re.search(r"_r(\d)_", case)
    assert shape
    batch, height, width = map(int, shape.groups())
    return (batch, 3, height, width), int(recurrence[1]) if recurrence else 2


class Network:
    """A twin with the stand-in weights of seed 0, in one dtype; `run` also gives every probe's calls."""

    def __init__(self, framework: str, family: str, dtype: str) -> None:
        self.framework = framework
        tensors = convert_tensors(make_state_dict(family, 0), dtype=dtype)
        size = {"num_classes": 19, "recurrence": 2, "depth": 101}
        if framework == "torch":
            self.model: Any = build_torch(family, **size).to(getattr(torch, dtype))
            load_torch(self.model, tensors)
            modules = dict(self.model.named_modules())
        else:
            self.model = build_ccnet(family, **size)  # an uninitialised one cannot be cast
            self.model.to(dtype=dtype)
            load_paddle(self.model, {to_paddle(name): array for name, array in tensors.items()})
            modules = dict(self.model.named_sublayers())
        self.model.eval()
        self.calls: dict[str, list[Array]] = {}
        for reference, path in PROBES.items():
            module = modules[path]
            register = module.register_forward_hook if framework == "torch" else module.register_forward_post_hook
            register(lambda _module, _inputs, output, name=reference: self._note(name, output))

    def _note(self, name: str, output: Any) -> None:
        self.calls.setdefault(name, []).append(digest(np.array(output.detach().numpy())))

    def run(self, images: Array, recurrence: int) -> tuple[dict[str, Array], dict[str, list[Array]]]:
        self.calls.clear()
        self.model.head.recurrence = recurrence
        with torch.no_grad(), paddle.no_grad():
            make = torch.from_numpy if self.framework == "torch" else paddle.to_tensor
            logits, auxiliary = self.model(make(images))
        return {"logits": logits.numpy(), "dsn": auxiliary.numpy()}, self.calls


@pytest.fixture(
    scope="module", params=[(framework, family) for framework in ("torch", "paddle") for family in FAMILIES]
)
def float64_network(request: pytest.FixtureRequest) -> tuple[str, Network]:
    framework, family = request.param
    return family, Network(framework, family, "float64")


@pytest.fixture(
    scope="module", params=[(framework, family) for framework in ("torch", "paddle") for family in FAMILIES]
)
def float32_network(request: pytest.FixtureRequest) -> tuple[str, Network]:
    framework, family = request.param
    return family, Network(framework, family, "float32")


def test_float64(float64_network: tuple[str, Network]) -> None:
    family, network = float64_network
    golden = GOLDENS[family]
    probes = 0
    for case in (case for owner, case in CASES if owner == family):
        shape, recurrence = parse(case)
        outputs, calls = network.run(make_image(shape, 0), recurrence)
        for name, actual in outputs.items():
            expected = golden[f"{case}/{name}"]
            assert actual.shape == expected.shape
            assert np.abs(actual - expected).max() <= FLOAT64_LIMIT * np.abs(expected).max(), (case, name)
        for key in golden.files:
            if key.startswith(f"{case}/probe/"):
                module, _, call = key.rpartition("/")[2].partition("#")
                expected, actual = golden[key], calls[module][int(call or 0)]
                assert np.abs(actual - expected).max() <= FLOAT64_LIMIT * np.abs(expected).max(), key
                probes += 1
    assert probes or family != "official"


def test_float32(float32_network: tuple[str, Network]) -> None:
    family, network = float32_network
    golden = GOLDENS[family]
    for case in (case for owner, case in CASES if owner == family):
        shape, recurrence = parse(case)
        outputs, _ = network.run(make_image(shape, 0).astype(np.float32), recurrence)
        for name, actual in outputs.items():
            truth = golden[f"{case}/{name}"]
            own = np.abs(golden[f"{case.replace('float64', 'float32')}/{name}"] - truth).max()
            assert np.abs(actual - truth).max() <= FLOAT32_LIMIT * own, (case, name)


def test_every_probe_has_a_module() -> None:
    names = {key.partition("/probe/")[2].partition("#")[0] for goldens in GOLDENS.values() for key in goldens.files}
    assert names - {""} <= PROBES.keys()


def test_unfolded_scales_are_seen() -> None:
    """The goldens can refuse: official weights read as plain BatchNorm's are far off."""
    tensors = convert_tensors(make_state_dict("official", 0), dtype="float64")
    state = make_state_dict("official", 0)
    tensors["head.refine.norm.weight"] = state["head.convb.1.weight"].astype(np.float64)
    model = build_torch("official", num_classes=19, recurrence=2, depth=101).double().eval()
    load_torch(model, tensors)
    with torch.no_grad():
        actual = model(torch.from_numpy(make_image((1, 3, 97, 97), 0)))[0].numpy()
    expected = GOLDENS["official"]["s0_1x3x97x97_r2_float64/logits"]
    assert np.abs(actual - expected).max() > 1e-3 * np.abs(expected).max()
