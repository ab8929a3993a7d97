"""Canonical and Paddle leaf names, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter import from_paddle, to_paddle
from families import FAMILIES, canonical_shapes
from models_paddle import build_ccnet
from tests.converter.checkpoints import NETWORKS

PAIRS = {
    "head.reduce.norm.running_mean": "head.reduce.norm._mean",
    "head.reduce.norm.running_var": "head.reduce.norm._variance",
    "head.reduce.norm.weight": "head.reduce.norm.weight",
    "head.reduce.norm.bias": "head.reduce.norm.bias",
    "head.attention.gamma": "head.attention.gamma",
    "running_mean": "_mean",
    "running_mean.weight": "running_mean.weight",
    "norm.my_running_mean": "norm.my_running_mean",
}

modules = st.lists(st.sampled_from(["head", "norm", "0", "22", "running_mean", "_mean", "weight"]), max_size=4)
canonical_leaves = st.sampled_from(["weight", "bias", "running_mean", "running_var", "gamma"])
paddle_leaves = st.sampled_from(["weight", "bias", "_mean", "_variance", "gamma"])


@pytest.mark.parametrize(("canonical", "paddle"), PAIRS.items())
def test_pairs(canonical: str, paddle: str) -> None:
    assert to_paddle(canonical) == paddle
    assert from_paddle(paddle) == canonical


@given(modules, canonical_leaves)
def test_there_and_back(path: list[str], leaf: str) -> None:
    name = ".".join([*path, leaf])
    assert from_paddle(to_paddle(name)) == name


@given(modules, paddle_leaves)
def test_back_and_there(path: list[str], leaf: str) -> None:
    name = ".".join([*path, leaf])
    assert to_paddle(from_paddle(name)) == name


@pytest.mark.parametrize("family", NETWORKS)
def test_names_of_the_paddle_twin(family: str) -> None:
    shapes = canonical_shapes(FAMILIES[family].architecture, num_classes=19, depth=18)
    twin = build_ccnet(family, depth=18).state_dict()
    assert {to_paddle(name): shape for name, shape in shapes.items()} == {
        name: tuple(tensor.shape) for name, tensor in twin.items()
    }
