"""Distances between two sets of arrays, each with where it is greatest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Distance = tuple[float, str]
"""A figure, and where it is."""
SAMPLE = 256
"""Values of each array that are kept to look for a cause."""


def worst(actual: Mapping[str, Array], expected: Mapping[str, Array], scales: Mapping[str, float]) -> Distance:
    """Greatest |difference| over its scale, and the name. Infinite where names or shapes differ; NaN for a NaN."""
    for name in expected.keys() ^ actual.keys():
        return math.inf, f"{name} is on one side only"
    found = 0.0, ""
    for name, reference in expected.items():
        if actual[name].shape != reference.shape:
            return math.inf, f"{name} is {actual[name].shape}, the reference has {reference.shape}"
        distance = _ratio(float(np.abs(actual[name] - reference).max(initial=0.0)), scales[name])
        if not distance <= found[0]:
            found = distance, name
            if math.isnan(distance):
                return found
    return found


def greatest(arrays: Mapping[str, Array]) -> dict[str, float]:
    """Name -> greatest magnitude."""
    return {name: float(np.abs(array).max(initial=0.0)) for name, array in arrays.items()}


def sample(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Some values of each array, which keeps as many dimensions: a rule is one for all values of a parameter."""
    return {
        name: array.reshape(-1)[:: max(array.size // SAMPLE, 1)].copy().reshape((-1, *(1,) * (array.ndim - 1)))
        for name, array in arrays.items()
    }


def layer_scales(gradients: Mapping[str, Array]) -> dict[str, float]:
    """Name -> greatest gradient of its layer's parameters: a bias may have none by analysis."""
    layers: dict[str, float] = {}
    own = greatest(gradients)
    for name, value in own.items():
        layer = name.rpartition(".")[0]
        layers[layer] = max(layers.get(layer, 0.0), value)
    return {name: layers[name.rpartition(".")[0]] for name in own}


def relative(actual: float, expected: float) -> float:
    """|actual - expected| over |expected|; zero where both are the same, NaN included only if one is."""
    if math.isnan(actual) and math.isnan(expected):
        return 0.0
    return _ratio(abs(actual - expected), abs(expected))


def noise_ratio(actual: Array, rounded: Array, exact: Array) -> float:
    """Distance of `actual` (float32) from `exact` over that of `rounded`, at least a unit in the last place."""
    floor = float(np.abs(rounded - exact).max()), float(np.finfo(np.float32).eps * np.abs(exact).max())
    return _ratio(float(np.abs(actual - exact).max()), max(floor))


def _ratio(distance: float, scale: float) -> float:
    if distance == 0:
        return 0.0
    return distance / scale if scale else math.inf
