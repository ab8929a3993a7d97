"""Criss-cross attention in nested loops, straight from its definition (arXiv:1811.11721, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.references.twins import Array


def criss_cross(features: Array, weights: Mapping[str, Array], *, masked: bool = True) -> Array:
    """(N, C, H, W) -> (N, C, H, W), with `weights` by canonical name inside the attention module.

    Without `masked`, a pixel counts twice: in its column and in its row.
    """
    query, key, value = (project(features, weights, name) for name in ("query", "key", "value"))
    batch, _, height, width = features.shape
    output = np.empty_like(features)
    for n in range(batch):
        for i in range(height):
            for j in range(width):
                same_column = [(row, j) for row in range(height) if row != i or not masked]
                cross = same_column + [(i, other) for other in range(width)]
                energies = np.array([query[n, :, i, j] @ key[n, :, row, column] for row, column in cross])
                attention = np.exp(energies - energies.max())
                attention /= attention.sum()
                values = np.array([value[n, :, row, column] for row, column in cross])
                output[n, :, i, j] = features[n, :, i, j] + weights["gamma"][0] * (attention @ values)
    return output


def project(features: Array, weights: Mapping[str, Array], name: str) -> Array:
    """The 1 x 1 convolution `name`."""
    weight, bias = weights[f"{name}.weight"][:, :, 0, 0], weights[f"{name}.bias"]
    return np.moveaxis(np.moveaxis(features, 1, -1) @ weight.T + bias, -1, 1)
