"""torchvision's networks against Paddle's own of the same name, unaided: paired, given the weights, and compared."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import paddle
import pytest
import torch

from parity.engine.harness import compare_models
from parity.pairing.match import match_port

pytestmark = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")

MOST_MORE = 3
"""Isolated passes that a right port costs more than a plain one."""


@pytest.fixture(scope="module")
def models():
    """torchvision's networks, also where its operators in C++ do not load, which none of them needs."""
    try:
        from torchvision import models
    except RuntimeError:  # of another build than torch's
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import models

        models.library = library  # which ends with it
    return models


def compare(build: Callable[..., Any], *, size: int, **settings: Any) -> Any:
    """By name of the function; the reference's statistics are those of a picture, not a fresh network's."""
    torch.manual_seed(0)
    ours = build(weights=None, num_classes=10)
    norms = [module for module in ours.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        ours.train()(torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1)))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    theirs = getattr(paddle.vision.models, build.__name__)(num_classes=10)
    pairing, weights = match_port(ours.eval(), theirs, None)
    assert weights["copied"]
    images = np.random.default_rng(2).standard_normal((1, 3, size, size))
    return compare_models(ours, theirs, images, pairs=pairing, weights=weights, **settings)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small"])
def test_the_same_network_passes(models, name, isolated):
    report = compare(getattr(models, name), size=64)
    assert report, report.summary
    assert not report.coverage.uncovered
    assert not report.weights["different"]
    assert len(isolated) <= MOST_MORE


@pytest.mark.parametrize(
    ("name", "size", "guilty"),
    [
        # Paddle's dropout multiplies in evaluation there.
        ("alexnet", 224, {"classifier.0", "classifier.3"}),
        # Its first convolution is padded in Paddle, and dropout is as in AlexNet.
        ("squeezenet1_1", 64, {"features.0", "classifier.0"}),
    ],
)
def test_another_network_fails(models, name, size, guilty):
    report = compare(getattr(models, name), size=size, dtypes=["float64"], mode="isolated")
    assert {one.path for one in report.guilty} == guilty
