"""Both twins' criteria against plain loops, and against the mistakes that ports make in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch
from torch.nn import functional

import models_paddle.losses
import models_torch.losses
from recipe.interpolation import interpolation_matrix
from recipe.ohem import Mining
from tests.golden.weights import make_label
from tests.references.twins import FRAMEWORKS, Array, as_array

LOSSES = {"torch": models_torch.losses, "paddle": models_paddle.losses}
CLASSES = 5
SIZE = (33, 41)


def as_tensor(framework: str, array: Array) -> Any:
    return torch.from_numpy(array) if framework == "torch" else paddle.to_tensor(array)


def make_case(seed: int = 0) -> tuple[tuple[Array, Array], Array]:
    rng = np.random.default_rng(seed)
    outputs = tuple(3 * rng.standard_normal((2, CLASSES, 5, 6)) for _ in range(2))
    return outputs, make_label((2, *SIZE), CLASSES, seed)


def loss_of(framework: str, criterion: Any, seed: int = 0) -> float:
    outputs, labels = make_case(seed)
    return float(criterion(tuple(as_tensor(framework, x) for x in outputs), as_tensor(framework, labels)))


def log_probabilities(logits: Array, *, align_corners: bool) -> Array:
    rows, columns = (
        interpolation_matrix(source, target, align_corners=align_corners)
        for source, target in zip(logits.shape[2:], SIZE, strict=True)
    )
    full = rows @ logits @ columns.T
    return full - np.log(np.exp(full).sum(1, keepdims=True))


def mean_loss(logits: Array, labels: Array, *, align_corners: bool = True) -> float:
    logs = log_probabilities(logits, align_corners=align_corners)
    picked = [-logs[n, labels[n, y, x], y, x] for n, y, x in np.argwhere(labels != 255)]
    return float(np.mean(picked))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_cross_entropy_by_its_definition(framework: str, align_corners: bool) -> None:
    (logits, auxiliary), labels = make_case()
    expected = mean_loss(logits, labels, align_corners=align_corners)
    expected += 0.4 * mean_loss(auxiliary, labels, align_corners=align_corners)
    found = loss_of(framework, LOSSES[framework].CrossEntropy(align_corners=align_corners))
    assert found == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_ohem_by_its_definition(framework: str) -> None:
    (logits, auxiliary), labels = make_case()
    mining = Mining(threshold=0.05, min_kept=64 * 8)
    probabilities = np.exp(log_probabilities(logits, align_corners=True))
    hard = mining.select(probabilities, labels, ignore_index=255)
    assert 0 < (hard != 255).sum() < (labels != 255).sum()
    found = loss_of(framework, LOSSES[framework].OhemCrossEntropy(mining))
    assert found == pytest.approx(mean_loss(logits, hard) + 0.4 * mean_loss(auxiliary, labels), rel=1e-13)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_batch_without_a_labelled_pixel_is_not_a_number(framework: str) -> None:
    outputs, labels = make_case()
    nothing = as_tensor(framework, np.full_like(labels, 255))
    for criterion in (LOSSES[framework].CrossEntropy(), LOSSES[framework].OhemCrossEntropy(Mining())):
        assert np.isnan(float(criterion(tuple(as_tensor(framework, x) for x in outputs), nothing)))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_hard_pixels_have_the_only_gradients(framework: str) -> None:
    mining = Mining(threshold=0.05, min_kept=64 * 8)
    criterion = LOSSES[framework].OhemCrossEntropy(mining, auxiliary_weight=0.0)
    (logits, auxiliary), labels = make_case()
    full = log_probabilities(logits, align_corners=True)
    tensors = [as_tensor(framework, full), as_tensor(framework, auxiliary)]
    if framework == "torch":
        tensors[0].requires_grad_()
    else:
        tensors[0].stop_gradient = False
    criterion(tuple(tensors), as_tensor(framework, labels)).backward()
    hard = mining.select(np.exp(full), labels, ignore_index=255)
    touched = np.abs(as_array(tensors[0].grad)).max(1) > 0
    assert np.array_equal(touched, hard != 255)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("source", "target"), [(13, 97), (5, 33), (1, 7), (7, 1), (33, 5), (6, 6)])
def test_interpolation_is_torchs(source: int, target: int, align_corners: bool) -> None:
    values = np.random.default_rng(0).standard_normal((1, 1, source, 3))
    expected = functional.interpolate(
        torch.from_numpy(values), size=(target, 3), mode="bilinear", align_corners=align_corners
    ).numpy()
    found = interpolation_matrix(source, target, align_corners=align_corners) @ values
    assert np.abs(found - expected).max() <= 1e-13


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_epsilon_is_of_the_share_of_pixels(framework: str) -> None:
    """As in PaddleSeg: of the main term and of the auxiliary one, each its own."""
    losses, (_, labels) = LOSSES[framework], make_case()
    plain, both = (loss_of(framework, losses.CrossEntropy(auxiliary_weight=weight)) for weight in (0.0, 1.0))
    found = loss_of(framework, losses.OhemCrossEntropy(Mining(threshold=1.0), epsilon=0.5, mining_epsilon=0.25))
    share = float((labels != 255).mean())
    main, auxiliary = plain * share / (share + 0.25), (both - plain) * share / (share + 0.5)
    assert found == pytest.approx(main + 0.4 * auxiliary, rel=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_mean_over_ignored_pixels_too(framework: str) -> None:
    """As in mmsegmentation: no pixel that counts is a loss of zero."""
    losses, (outputs, labels) = LOSSES[framework], make_case()
    plain, over_all = (loss_of(framework, losses.CrossEntropy(ignored_in_mean=one)) for one in (False, True))
    assert over_all == pytest.approx(plain * float((labels != 255).mean()), rel=1e-12)
    none = as_tensor(framework, np.full_like(labels, 255))
    criterion = losses.CrossEntropy(ignored_in_mean=True)
    assert float(criterion(tuple(as_tensor(framework, one) for one in outputs), none)) == 0
