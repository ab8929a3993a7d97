"""The schedule of both twins' trainers, step by step, and what is decayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import models_paddle.trainer
import models_torch.trainer
from recipe.recipe import RECIPES, Recipe, recipe_of
from tests.references.twins import FRAMEWORKS

TRAINERS = {"torch": models_torch.trainer.Trainer, "paddle": models_paddle.trainer.Trainer}


def make_trainer(framework: str, recipe: Recipe) -> Any:
    """One weight and one bias, both 1, with a loss whose gradient is 1 for each."""
    if framework == "torch":
        model: Any = torch.nn.Linear(1, 1).double()
        torch.nn.init.ones_(model.weight), torch.nn.init.ones_(model.bias)
    else:
        model = paddle.nn.Linear(1, 1)
        model.to(dtype="float64")
        for parameter in model.parameters():
            parameter.set_value(np.ones(parameter.shape))
    return TRAINERS[framework](model, lambda output, labels: output.sum(), recipe)


def batch(framework: str) -> Any:
    ones = np.ones((1, 1))
    return torch.from_numpy(ones) if framework == "torch" else paddle.to_tensor(ones)


@given(
    base=st.floats(1e-4, 1.0), steps=st.integers(1, 10**6), power=st.floats(0.1, 3.0), end=st.sampled_from([0.0, 1e-5])
)
def test_rate_falls_from_base_to_end(base: float, steps: int, power: float, end: float) -> None:
    recipe = Recipe(base_rate=base, steps=steps, power=power, end_rate=end)
    rates = [recipe.rate(step) for step in (0, steps // 2, steps - 1, steps, steps + 1)]
    assert rates[0] == pytest.approx(base, rel=1e-15)
    assert rates == sorted(rates, reverse=True)
    assert rates[3] == rates[4] == pytest.approx(end)


@pytest.mark.parametrize("family", RECIPES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_trainers_follow_the_recipe(framework: str, family: str) -> None:
    recipe = Recipe(**{**vars(RECIPES[family]), "steps": 5, "weight_decay": 0.5})
    trainer = make_trainer(framework, recipe)
    value, velocity = 1.0, 0.0
    for step in range(5):
        assert trainer.rate == pytest.approx(recipe.rate(step), rel=1e-12)
        trainer.step(batch(framework), None)
        velocity = recipe.momentum * velocity + 1 + recipe.weight_decay * value
        value -= recipe.rate(step) * velocity
        for parameter in trainer.model.parameters():  # biases decay like weights
            assert float(parameter.reshape([-1])[0]) == pytest.approx(value, rel=1e-7)


def test_a_family_without_a_recipe_has_the_official_one() -> None:
    assert recipe_of("pure_pytorch") == RECIPES["official"]
    assert recipe_of("mmseg") != RECIPES["official"]
