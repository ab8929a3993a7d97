"""The official training reference (tests/golden/official_train.npz) and digests to hold against it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from converter import convert_tensors
from converter.bridge import from_paddle
from converter.plan import make_plan
from tests.golden.weights import GOLDEN, make_image, make_label, make_state_dict
from tests.models.networks import build_twin
from tests.references.twins import Array, Twin, as_array

SIZE = {"num_classes": 19, "recurrence": 2, "depth": 101}


@cache
def reference() -> dict[str, Array]:
    with np.load(GOLDEN / "official_train.npz") as archive:
        return dict(archive)


@cache
def source() -> dict[str, Array]:
    return make_state_dict("official", 0)


@cache
def keys() -> dict[str, str]:
    """Canonical name -> the reference's key."""
    return {name: step.source for step, name in make_plan(source(), "official").transfers}


@cache
def _weights() -> dict[str, Array]:
    return convert_tensors(source(), "official", dtype="float64")


def make_twin(framework: str) -> Twin:
    """The full-size official twin in float64 and train mode, without dropout."""
    twin = build_twin(framework, "official", _weights(), "float64", **SIZE)
    twin.model.train()
    twin.model.head.dropout.p = twin.model.auxiliary_head.dropout.p = 0.0
    return twin


def make_batch(seed: int) -> tuple[Array, Array]:
    return make_image((2, 3, 97, 97), seed), make_label((2, 97, 97), 19, seed)


def clear_gradients(twin: Twin) -> None:
    """So that the next backward pass does not add to them."""
    if twin.framework == "torch":
        twin.model.zero_grad()
    else:
        twin.model.clear_gradients()


def gradients(twin: Twin) -> dict[str, Array]:
    """Canonical name -> gradient."""
    return {
        from_paddle(name): as_array(value.grad)
        for name, value in twin.model.named_parameters()
        if value.grad is not None
    }


def state(twin: Twin) -> dict[str, Array]:
    """Canonical name -> parameter or running statistic."""
    return {from_paddle(name): as_array(value) for name, value in twin.model.state_dict().items()}


def digest(array: Array) -> Array:
    """L2 norm, mean and eight values, as the reference has them."""
    flat = array.reshape(-1)
    picked = flat[np.linspace(0, flat.size - 1, 8).astype(np.int64)]
    return np.concatenate([[np.linalg.norm(flat), flat.mean()], picked])


def unfolded(name: str, gradient: Array) -> Array:
    """The gradient of InPlaceABN's weight from that of the folded scale |weight| + eps."""
    return gradient * np.where(source()[keys()[name]] < 0, -1.0, 1.0) if name.endswith("norm.weight") else gradient


def unfolded_scale(name: str, value: Array) -> Array:
    """InPlaceABN's weight from the folded scale, by the sign it began with."""
    return unfolded(name, value - np.float64(np.float32(1e-5))) if name.endswith("norm.weight") else value


def layer_scales(found: dict[str, Array]) -> dict[str, float]:
    """Name -> greatest gradient among the parameters of its layer."""
    scales: dict[str, float] = {}
    for name, gradient in found.items():
        layer = name.rpartition(".")[0]
        scales[layer] = max(scales.get(layer, 0.0), float(np.abs(gradient).max()))
    return {name: scales[name.rpartition(".")[0]] for name in found}


def tensors(twin: Twin, batch: tuple[Array, Array]) -> tuple[Any, Any]:
    images, labels = batch
    return twin.tensor(images), twin.tensor(labels)
