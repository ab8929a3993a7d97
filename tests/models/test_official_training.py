"""Both twins, full size, in train mode: the losses, gradients, statistics and steps of the official network."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import models_paddle.losses
import models_paddle.trainer
import models_torch.losses
import models_torch.trainer
from recipe.ohem import Mining
from recipe.recipe import Recipe
from tests.models.golden import (
    clear_gradients,
    digest,
    gradients,
    keys,
    layer_scales,
    make_batch,
    make_twin,
    reference,
    state,
    tensors,
    unfolded,
    unfolded_scale,
)
from tests.references.twins import FRAMEWORKS, Array

LOSSES = {"torch": models_torch.losses, "paddle": models_paddle.losses}
TRAINERS = {"torch": models_torch.trainer, "paddle": models_paddle.trainer}
ZERO_BY_ANALYSIS = {"auxiliary_head.fuse.conv.bias", "head.attention.key.bias"}
TRAJECTORY_LIMITS = (1e-12, 1e-10, 1e-8, 1e-6, 1e-3)
"""Of the losses in steps 1 to 5: a trajectory from these weights amplifies a difference 100-fold a step."""


@cache
def one_pass(framework: str) -> dict[str, tuple[float, dict[str, Array]]]:
    """Criterion -> loss and gradients, both criteria on one forward pass; "buffers" -> the state after it."""
    twin, losses = make_twin(framework), LOSSES[framework]
    images, labels = tensors(twin, make_batch(0))
    outputs = twin.model(images)
    criteria = {
        "train_ce": losses.CrossEntropy(),
        "train_ohem": losses.OhemCrossEntropy(Mining(threshold=0.1, min_kept=3840)),
    }
    found = {}
    for name, criterion in criteria.items():
        clear_gradients(twin)
        loss = criterion(outputs, labels)
        loss.backward(retain_graph=True)
        found[name] = float(loss), gradients(twin)
    found["state"] = 0.0, state(twin)
    return found


@pytest.mark.parametrize("criterion", ["train_ce", "train_ohem"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_loss(framework: str, criterion: str) -> None:
    expected = float(reference()[f"{criterion}/loss"])
    assert abs(one_pass(framework)[criterion][0] - expected) <= 1e-12 * expected


@pytest.mark.parametrize("criterion", ["train_ce", "train_ohem"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_gradient_on_the_scale_of_its_layer(framework: str, criterion: str) -> None:
    found = one_pass(framework)[criterion][1]
    names = {key.removeprefix(f"{criterion}/grad/") for key in reference() if key.startswith(f"{criterion}/grad/")}
    assert {keys()[name] for name in found} == names
    for name, scale in layer_scales(found).items():
        actual, expected = digest(unfolded(name, found[name])), reference()[f"{criterion}/grad/{keys()[name]}"]
        # The first figure is a norm over all elements: it grows with their number.
        limits = 1e-9 * scale * np.array([max(np.sqrt(found[name].size), 1.0), *[1.0] * 9])
        assert (np.abs(actual - expected) <= limits).all(), name


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_gradients_are_zero_by_analysis(framework: str) -> None:
    found = one_pass(framework)["train_ce"][1]
    scales = layer_scales(found)
    assert {name for name in found if np.abs(found[name]).max() <= 1e-12 * scales[name]} == ZERO_BY_ANALYSIS


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_running_statistic(framework: str) -> None:
    found = one_pass(framework)["state"][1]
    checked = 0
    for name, value in found.items():
        if name.endswith(("running_mean", "running_var")):
            expected = reference()[f"train_ce/buffer/{keys()[name]}"]
            assert (np.abs(digest(value) - expected) <= 1e-6 * np.abs(expected)).all(), name
            checked += 1
    assert checked == 220


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_trajectory(framework: str) -> None:
    twin, losses = make_twin(framework), LOSSES[framework]
    trainer = TRAINERS[framework].Trainer(twin.model, losses.CrossEntropy(), Recipe(base_rate=1e-3))
    for step, limit in enumerate(TRAJECTORY_LIMITS):
        assert trainer.rate == pytest.approx(float(reference()["trajectory/lr"][step]), rel=1e-14)
        loss, expected = trainer.step(*tensors(twin, make_batch(100 + step))), reference()["trajectory/loss"][step]
        assert abs(loss - expected) <= limit * expected, step
    for name, value in state(twin).items():
        if name in keys():
            expected = reference()[f"trajectory/param/{keys()[name]}"]
            actual = digest(unfolded_scale(name, value))
            assert (np.abs(actual - expected) <= 1e-3 * np.abs(expected).max()).all(), name
