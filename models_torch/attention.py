"""Criss-cross attention (CCNet, arXiv:1811.11721, section 3.2): each pixel attends to its row and column."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CrissCrossAttention(nn.Module):
    """Softmax attention of each pixel over the H + W - 1 pixels of its column and row.

    A pixel lies in both its column and its row; the column's copy is masked so that it counts once,
    as in the CUDA original (speedinghzl/CCNet, cc_attention).
    """

    def __init__(self, channels: int, query_channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, query_channels, 1)
        self.key = nn.Conv2d(channels, query_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros([1]))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W): features + gamma * attended values."""
        query, key, value = self.query(features), self.key(features), self.value(features)
        return features + self.gamma * attend(query, key, value)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Values (N, C, H, W) averaged over each pixel's column and row by softmax(query . key).

    `query` and `key` are (N, K, H, W). Columns are batched as (N, W, ...), rows as (N, H, ...).
    """
    height, width = query.shape[2:]
    energy_height = query.permute(0, 3, 2, 1) @ key.permute(0, 3, 1, 2)  # (N, W, H, H)
    energy_width = query.permute(0, 2, 3, 1) @ key.permute(0, 2, 1, 3)  # (N, H, W, W)
    energy_height = energy_height + self_mask(height, query)
    energy = torch.cat([energy_height.permute(0, 2, 1, 3), energy_width], 3)  # (N, H, W, H + W)
    attention_height, attention_width = torch.softmax(energy, 3).split([height, width], 3)
    from_height = value.permute(0, 3, 1, 2) @ attention_height.permute(0, 2, 3, 1)  # (N, W, C, H)
    from_width = value.permute(0, 2, 1, 3) @ attention_width.permute(0, 1, 3, 2)  # (N, H, C, W)
    return from_height.permute(0, 2, 3, 1) + from_width.permute(0, 2, 1, 3)


def self_mask(size: int, like: Tensor) -> Tensor:
    """(size, size): minus infinity on the diagonal, zero elsewhere."""
    return torch.zeros([size, size], dtype=like.dtype, device=like.device).fill_diagonal_(float("-inf"))
