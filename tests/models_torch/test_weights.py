"""Strict loading into the PyTorch twin: everything fits, or nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from models_torch import CCNet, build_ccnet
from models_torch.weights import load_weights
from tests.converter.checkpoints import Array

Tensors = dict[str, Array]


def snapshot(model: CCNet) -> Tensors:
    """Copies of every parameter and buffer that `load_weights` fills."""
    state = model.state_dict()
    return {name: tensor.numpy().copy() for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@pytest.fixture
def model() -> CCNet:
    torch.manual_seed(0)
    return build_ccnet(depth=18)


def other_weights(model: CCNet) -> Tensors:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=value.shape).astype("f4") for name, value in snapshot(model).items()}


def test_everything_is_loaded(model: CCNet) -> None:
    weights = other_weights(model)
    tensors = dict(weights)
    load_weights(model, tensors)
    assert tensors == {}
    for name, value in snapshot(model).items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_values_are_cast_to_the_model_s_dtype(model: CCNet, dtype: str) -> None:
    weights = {name: value.astype(dtype) for name, value in other_weights(model).items()}
    load_weights(model, dict(weights))
    for name, value in snapshot(model).items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, weights[name].astype("f4"), err_msg=name)


def changed(name: str, shape: tuple[int, ...], dtype: str = "float32") -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: np.zeros(shape, dtype)}


def removed(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: value for name, value in tensors.items() if name not in names}


GAMMA, BIAS = "head.attention.gamma", "head.classifier.bias"
MISFITS: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "missing": (removed(GAMMA), rf"missing \['{GAMMA}'\] \(1\), unexpected \[\] \(0\)"),
    "unexpected": (changed("fc.weight", (1,)), r"missing \[\] \(0\), unexpected \['fc.weight'\] \(1\)"),
    "both": (
        lambda tensors: changed("gamma", (1,))(removed(GAMMA, BIAS)(tensors)),
        rf"missing \['{GAMMA}', '{BIAS}'\] \(2\), unexpected \['gamma'\] \(1\)",
    ),
    "nothing there": (lambda tensors: {}, r"missing \[.*\] \(\d+\), unexpected \[\] \(0\)"),
    "wrong shape": (changed(BIAS, (21,)), rf"{BIAS} is \(21,\), the network needs \(19,\)"),
    "a shape that would broadcast": (changed(BIAS, (1,)), rf"{BIAS} is \(1,\), the network needs \(19,\)"),
    "0-d": (changed(GAMMA, ()), rf"{GAMMA} is \(\), the network needs \(1,\)"),
    "as many values in another shape": (changed(BIAS, (19, 1)), rf"{BIAS} is \(19, 1\), the network needs \(19,\)"),
    "bits for floats": (changed(BIAS, (19,), "uint16"), rf"{BIAS} holds uint16, the network needs float32"),
    "integers": (changed(BIAS, (19,), "int64"), rf"{BIAS} holds int64, the network needs float32"),
    "truth values": (changed(GAMMA, (1,), "bool"), rf"{GAMMA} holds bool, the network needs float32"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_nothing_is_loaded_of_what_does_not_fit(model: CCNet, name: str) -> None:
    change, expected = MISFITS[name]
    before = snapshot(model)
    tensors = change(other_weights(model))
    given = list(tensors)
    with pytest.raises(ValueError, match=f"^{expected}$"):
        load_weights(model, tensors)
    assert list(tensors) == given
    for key, value in snapshot(model).items():
        np.testing.assert_array_equal(value, before[key], err_msg=key)
