"""Bilinear resize as two small matrices: the one formulation that is exact in both frameworks.

Paddle's own resize keeps source positions as float32, which a float64 comparison sees.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def interpolation_matrix(source: int, target: int, *, align_corners: bool) -> Array:
    """(target, source), float64: row i holds the weights of the source positions in target position i.

    As `torch.nn.functional.interpolate` has it: with `align_corners` the corner positions of both sides
    coincide; without, the borders do, and positions outside the source are moved to its edge.
    """
    steps = np.arange(target, dtype=np.float64)
    if align_corners:
        position = steps * ((source - 1) / (target - 1)) if target > 1 else np.zeros(1)
    else:
        position = np.clip((steps + 0.5) * (source / target) - 0.5, 0, source - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(source)))
