"""Bilinear resize of logits as two matrix products, inside the graph, for sizes that are known only when it runs.

Paddle's own resize keeps source positions as float32, and oneDNN refuses it in a program exported by
Paddle 3.3.1. The form matters: oneDNN fuses `abs` or `clip` wrongly into the subtraction before them, and
multiplies wrongly by a matrix on the left of a convolution's output. `tests/paddleseg_port/test_inference.py` tells.
"""

from __future__ import annotations

import paddle
from paddle import Tensor


def resize_logits(logits: Tensor, images: Tensor, *, align_corners: bool) -> Tensor:
    """(N, K, h, w) -> (N, K, H, W), the size of `images` (N, C, H, W)."""
    source, target = paddle.shape(logits), paddle.shape(images)
    rows, columns = (
        _interpolation_matrix(source[axis], target[axis], align_corners=align_corners).astype(logits.dtype)
        for axis in (2, 3)
    )
    tall = (logits.transpose([0, 1, 3, 2]) @ rows.t()).transpose([0, 1, 3, 2])
    return tall @ columns.t()


def _interpolation_matrix(source: Tensor, target: Tensor, *, align_corners: bool) -> Tensor:
    """(target, source), float64: as `recipe.interpolation.interpolation_matrix`, of tensors."""
    source, target = source.astype("float64"), target.astype("float64")
    steps = paddle.arange(0, target, 1, dtype="float64")
    one = paddle.ones([1], "float64")
    if align_corners:
        position = steps * ((source - 1) / paddle.maximum(target - 1, one))
    else:
        position = paddle.maximum((steps + 0.5) * (source / target) - 0.5, 0 * one)
        position = paddle.minimum(position, source - 1)
    distance = position.reshape([-1, 1]) - paddle.arange(0, source, 1, dtype="float64").reshape([1, -1])
    return paddle.maximum(paddle.minimum(1 - distance, 1 + distance), 0 * one)
