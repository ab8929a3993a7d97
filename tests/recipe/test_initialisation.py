"""Fresh parameters of both twins follow the family's scheme."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import models_paddle
import models_torch
from families import FAMILIES
from recipe.initialisation import initial_fill
from tests.references.twins import FRAMEWORKS, Array, as_array

NETWORKS = [name for name, family in FAMILIES.items() if family.architecture.heads]


def fresh(framework: str, family: str) -> dict[str, Array]:
    if framework == "torch":
        torch.manual_seed(0)
        model = models_torch.build_ccnet(family, depth=18)
        return {name: as_array(value) for name, value in model.named_parameters()}
    paddle.seed(0)
    model = models_paddle.build_ccnet(family, depth=18)
    return {name: as_array(value) for name, value in model.named_parameters() if not value.stop_gradient}


@pytest.mark.parametrize("family", NETWORKS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_parameter_has_its_distribution(framework: str, family: str) -> None:
    values = fresh(framework, family)
    for name, array in values.items():
        weight = values.get(name.removesuffix("bias") + "weight", array)
        fill = initial_fill(family, name, array.shape, weight[0].size)
        if fill.distribution == "constant":
            assert (array == np.float32(fill.value)).all(), name
            continue
        assert abs(array.mean()) <= 6 * fill.value / np.sqrt(array.size), name
        assert abs(array.std() / fill.value - 1) <= 6 / np.sqrt(2 * array.size), name
        if fill.distribution == "uniform":
            assert np.abs(array).max() <= fill.bound * (1 + 1e-6), name


def test_torchs_scheme_is_torchs() -> None:
    """The official network says nothing about its convolutions: torch's own initial values have the deviation."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(64, 96, 3)
    for name, parameter in conv.named_parameters():
        fill = initial_fill("official", f"head.reduce.conv.{name}", tuple(parameter.shape), 64 * 9)
        assert parameter.detach().abs().max() <= fill.bound
        assert parameter.detach().abs().max() > 0.9 * fill.bound


def test_seeds_and_families_differ() -> None:
    name = "head.reduce.conv.weight"
    assert not np.array_equal(fresh("paddle", "official")[name], fresh("paddle", "mmseg")[name])
    assert np.array_equal(fresh("paddle", "official")[name], fresh("paddle", "official")[name])
