"""Criss-cross attention of both twins against nested loops, and its export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from families import get_family
from tests.models.networks import PACKAGES, default_dtype, probed
from tests.models.oracle import criss_cross
from tests.references.twins import FRAMEWORKS, Array, Twin, as_array, without_gradients

LIMIT = 1e-12
"""Of the greatest magnitude of the output."""
CHANNELS, QUERY_CHANNELS = 12, 4
SHAPES = ((2, 5, 7), (3, 7, 4), (1, 6, 6), (2, 1, 6), (2, 5, 1), (1, 1, 1))  # N, H, W


def random_weights(channels: int = CHANNELS, query_channels: int = QUERY_CHANNELS, *, gamma: float = 0.7) -> Any:
    generator = np.random.default_rng(0)
    outputs = {"query": query_channels, "key": query_channels, "value": channels}
    weights = {f"{name}.weight": generator.normal(size=(width, channels, 1, 1)) for name, width in outputs.items()}
    biases = {f"{name}.bias": generator.normal(size=width) for name, width in outputs.items()}
    return {"gamma": np.array([gamma]), **weights, **biases}


def random_features(*shape: int) -> Array:
    return np.random.default_rng(1).normal(size=shape)


def attention(framework: str, weights: dict[str, Array]) -> Twin:
    package = PACKAGES[framework]
    with default_dtype("float64"):
        module = package.attention.CrissCrossAttention(CHANNELS, QUERY_CHANNELS)
    package.load_weights(module, dict(weights))
    return Twin(framework, module)


def call(twin: Twin, features: Array) -> Array:
    with without_gradients(twin.framework):
        return as_array(twin.model(twin.tensor(features)))


def relative(actual: Array, expected: Array) -> float:
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_it_is_the_definition(framework: str, shape: tuple[int, int, int]) -> None:
    batch, height, width = shape
    features, weights = random_features(batch, CHANNELS, height, width), random_weights()
    actual = call(attention(framework, weights), features)
    assert relative(actual, criss_cross(features, weights)) <= LIMIT
    assert relative(actual, criss_cross(features, weights, masked=False)) > 1e-3 or height == width == 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_fresh_module_changes_nothing(framework: str) -> None:
    features = random_features(2, CHANNELS, 3, 4)
    fresh = PACKAGES[framework].attention.CrissCrossAttention(CHANNELS, QUERY_CHANNELS)
    assert np.array_equal(call(Twin(framework, fresh).cast("float64"), features), features)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_great_energies_stay_finite(framework: str) -> None:
    features, weights = 100 * random_features(1, CHANNELS, 4, 5), random_weights()
    assert relative(call(attention(framework, weights), features), criss_cross(features, weights)) <= LIMIT


@pytest.mark.parametrize("recurrence", range(4))
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_head_applies_one_module_so_many_times(framework: str, recurrence: int) -> None:
    package, divisor = PACKAGES[framework], 32
    with default_dtype("float64"):
        architecture = get_family("official").architecture
        head = package.ccnet.AttentionHead(8, architecture, num_classes=3, recurrence=recurrence, divisor=divisor)
    weights = random_weights(512 // divisor, 64 // divisor)
    package.load_weights(head.attention, dict(weights))
    twin = Twin(framework, head)
    with probed(twin, ("reduce", "attention", "refine.conv")) as found:
        logits = call(twin, random_features(2, 8, 5, 6))
    assert logits.shape == (2, 3, 5, 6)
    assert [call for path, call in found if path == "attention"] == list(range(recurrence))
    # Each pass from the one before as it was: a chain of our own would amplify rounding from pass to pass.
    features = found["reduce", 0]
    for number in range(recurrence):
        assert relative(found["attention", number], criss_cross(features, weights)) <= LIMIT
        features = found["attention", number]
    assert relative(found["refine.conv", 0], call(Twin(framework, head.refine.conv), features)) <= LIMIT


@pytest.mark.parametrize("sizes", [(None, None), (5, 7)])
def test_it_can_be_exported(tmp_path: Path, sizes: tuple[int | None, int | None]) -> None:
    weights = random_weights()
    module = attention("paddle", weights).model
    spec = paddle.static.InputSpec([None, CHANNELS, *sizes], "float64")
    paddle.jit.save(module, str(tmp_path / "attention"), input_spec=[spec])
    exported = Twin("paddle", paddle.jit.load(str(tmp_path / "attention")))
    for shape in ((2, 5, 7), (1, 8, 3)) if sizes == (None, None) else ((2, 5, 7),):
        features = random_features(shape[0], CHANNELS, *shape[1:])
        assert relative(call(exported, features), criss_cross(features, weights)) <= LIMIT
