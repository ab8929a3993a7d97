"""Criss-cross attention (CCNet, arXiv:1811.11721, section 3.2): each pixel attends to its row and column."""

from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn


class CrissCrossAttention(nn.Layer):
    """Softmax attention of each pixel over the H + W - 1 pixels of its column and row.

    A pixel lies in both its column and its row; the column's copy is masked so that it counts once,
    as in the CUDA original (speedinghzl/CCNet, cc_attention).
    """

    def __init__(self, channels: int, query_channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2D(channels, query_channels, 1)
        self.key = nn.Conv2D(channels, query_channels, 1)
        self.value = nn.Conv2D(channels, channels, 1)
        self.gamma = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W): features + gamma * attended values."""
        attention_height, attention_width = attend(self.query(features), self.key(features), self.gamma)
        value = self.value(features)
        return features + gather_height(value, attention_height) + gather_width(value, attention_width)


def attend(query: Tensor, key: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """gamma * softmax(query . key) of each pixel over its column (N, H, W, H) and its row (N, H, W, W).

    `query` and `key` are (N, K, H, W). Gamma scales these weights, not the values they gather, which
    are more and would be kept for the backward pass.
    """
    height, width = query.shape[2:]
    energy_height = paddle.matmul(to_columns(query), to_columns(key), transpose_x=True)  # (N, W, H, H)
    energy_width = paddle.matmul(to_rows(query), to_rows(key), transpose_x=True)  # (N, H, W, W)
    energy_height = energy_height + self_mask(height, query)
    energy = paddle.concat([energy_height.transpose([0, 2, 1, 3]), energy_width], 3)  # (N, H, W, H + W)
    attention_height, attention_width = (gamma * nn.functional.softmax(energy, 3)).split([height, width], 3)
    return attention_height, attention_width


def gather_height(value: Tensor, attention: Tensor) -> Tensor:
    """Values (N, C, H, W) summed over each pixel's column, weighted by `attention` (N, H, W, H)."""
    weights = attention.transpose([0, 2, 1, 3])  # (N, W, H, H)
    return paddle.matmul(to_columns(value), weights, transpose_y=True).transpose([0, 2, 3, 1])


def gather_width(value: Tensor, attention: Tensor) -> Tensor:
    """Values (N, C, H, W) summed over each pixel's row, weighted by `attention` (N, H, W, W)."""
    return paddle.matmul(to_rows(value), attention, transpose_y=True).transpose([0, 2, 1, 3])


def to_columns(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, W, C, H)."""
    return maps.transpose([0, 3, 1, 2])


def to_rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, C, W)."""
    return maps.transpose([0, 2, 1, 3])


def self_mask(size: int, like: Tensor) -> Tensor:
    """(size, size): minus infinity on the diagonal, zero elsewhere. ONNX has no `diag`."""
    index = paddle.arange(size)
    zero = paddle.zeros([1], like.dtype)
    return paddle.where(index == index.unsqueeze(1), zero - math.inf, zero)
