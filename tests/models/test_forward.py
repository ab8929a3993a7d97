"""Both twins at depth 18: one function, with one gradient, at any size and in both precisions."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from converter import convert_tensors
from converter.bridge import from_paddle
from families import FAMILIES, canonical_shapes
from tests.golden.weights import make_image
from tests.models.networks import build_twin
from tests.references.twins import FLOAT32_LIMIT, FRAMEWORKS, Array, Twin, as_array, half_precision, rounding
from twins.standin import make_state_dict

NETWORKS = [name for name, family in FAMILIES.items() if family.architecture.heads]
SIZES = ((33, 33), (32, 32), (40, 65), (47, 24), (8, 8), (1, 1))
HEADS = ("logits", "auxiliary_logits")
FLOAT64_LIMIT = 1e-9
"""Of the greatest magnitude of torch's output; Paddle 2 keeps PaddleSeg's slope as a float32, 2e-10 off."""
GRADIENT_LIMIT = 1e-9
"""Of the greatest gradient of the network."""


@functools.cache
def canonical_weights(family: str, dtype: str = "float64") -> dict[str, Array]:
    return convert_tensors(make_state_dict(family, num_classes=7, depth=18), family, dtype=dtype)


def make_twin(framework: str, family: str = "official", *, dtype: str = "float64", recurrence: int = 2) -> Twin:
    weights = canonical_weights(family, dtype)
    return build_twin(framework, family, weights, dtype, num_classes=7, recurrence=recurrence, depth=18)


def output_size(size: int, *, ceil_mode: bool) -> int:
    """Stem, pooling and stage 2 halve in turn."""
    size = (size + 1) // 2
    size = size // 2 + 1 if ceil_mode else (size + 1) // 2
    return (size + 1) // 2


def greatest(array: Array) -> float:
    return float(np.abs(array).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", NETWORKS)
def test_both_compute_the_same(family: str, size: tuple[int, int]) -> None:
    images = make_image((2, 3, *size), 0)
    ours, theirs = (make_twin(framework, family).run(images) for framework in FRAMEWORKS)
    ceil_mode = FAMILIES[family].architecture.pool_ceil_mode
    expected_shape = (2, 7, *(output_size(side, ceil_mode=ceil_mode) for side in size))
    for head in HEADS:
        assert ours[head].shape == theirs[head].shape == expected_shape
        assert ours[head].dtype == theirs[head].dtype == np.float64
        assert greatest(theirs[head] - ours[head]) <= FLOAT64_LIMIT * greatest(ours[head])
        assert greatest(ours[head][0] - ours[head][1]) > 0


@pytest.mark.parametrize("family", NETWORKS)
def test_float32_rounds_alike(family: str) -> None:
    """Either twin, by the other's rounding; half precision in one layer does not."""
    images = make_image((2, 3, 33, 49), 0)
    outputs = make_twin("torch", family).run(images)
    exact = {head: outputs[head] for head in HEADS}
    twins = {framework: make_twin(framework, family, dtype="float32") for framework in FRAMEWORKS}
    found = {framework: rounding(twin.run, images, exact) for framework, twin in twins.items()}
    for framework, other in (FRAMEWORKS, FRAMEWORKS[::-1]):
        twin = twins[framework]
        assert twin.run(images.astype(np.float32))["logits"].dtype == np.float32
        half_precision(twin, twin.model.backbone.stem[0].conv)
        wrong = rounding(twin.run, images, exact)
        for head in HEADS:
            assert 0 < found[framework][head] <= FLOAT32_LIMIT * found[other][head]
            assert wrong[head] > FLOAT32_LIMIT * found[other][head]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_recurrence_is_another_function(framework: str) -> None:
    images = make_image((1, 3, 33, 49), 0)
    outputs = [make_twin(framework, recurrence=recurrence).run(images) for recurrence in range(4)]
    for fewer, more in pairwise(outputs):
        assert greatest(more["logits"] - fewer["logits"]) > 1e-3
        assert np.array_equal(more["auxiliary_logits"], fewer["auxiliary_logits"])


def gradients(twin: Twin, *, dropout: bool) -> dict[str, Array | None]:
    """Canonical name -> gradient of the mean square of both outputs, in train mode."""
    model = twin.model
    model.train()
    for head in (model.head, model.auxiliary_head):
        head.dropout.p = head.dropout.p if dropout else 0.0
    outputs = model(twin.tensor(make_image((2, 3, 33, 49), 0)))
    sum((output**2).mean() for output in outputs).backward()
    parameters = dict(model.named_parameters())
    trainable = {from_paddle(name): parameters[name] for name in parameters if is_trainable(parameters[name])}
    return {name: None if value.grad is None else as_array(value.grad) for name, value in trainable.items()}


def is_trainable(parameter: Any) -> bool:
    """Paddle counts running statistics among the parameters."""
    return parameter.requires_grad if hasattr(parameter, "requires_grad") else not parameter.stop_gradient


@pytest.mark.parametrize("family", NETWORKS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_parameter_has_a_gradient(framework: str, family: str) -> None:
    found = gradients(make_twin(framework, family), dropout=True)
    shapes = canonical_shapes(FAMILIES[family].architecture, num_classes=7, depth=18)
    expected = {name: shape for name, shape in shapes.items() if not name.endswith(("running_mean", "running_var"))}
    assert {name: None if value is None else value.shape for name, value in found.items()} == expected
    assert all(np.isfinite(value).all() and greatest(value) > 0 for value in found.values() if value is not None)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_without_recurrence_the_attention_has_none(framework: str) -> None:
    found = gradients(make_twin(framework, recurrence=0), dropout=True)
    assert {name for name, value in found.items() if value is None} == {
        name for name in found if name.startswith("head.attention.")
    }


@pytest.mark.parametrize("family", NETWORKS)
def test_both_have_the_same_gradients(family: str) -> None:
    ours, theirs = (gradients(make_twin(framework, family), dropout=False) for framework in FRAMEWORKS)
    network = max(greatest(value) for value in ours.values() if value is not None)
    assert list(ours) == list(theirs)
    for name, expected in ours.items():
        assert greatest(theirs[name] - expected) <= GRADIENT_LIMIT * network, name
