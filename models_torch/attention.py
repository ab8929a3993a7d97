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
        attention_height, attention_width = attend(self.query(features), self.key(features), self.gamma)
        value = self.value(features)
        return features + gather_height(value, attention_height) + gather_width(value, attention_width)


def attend(query: Tensor, key: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """gamma * softmax(query . key) of each pixel over its column (N, H, W, H) and its row (N, H, W, W).

    `query` and `key` are (N, K, H, W). Gamma scales these weights, not the values they gather, which
    are more and would be kept for the backward pass.
    """
    height, width = query.shape[2:]
    energy_height = torch.matmul(to_columns(query).mT, to_columns(key))  # (N, W, H, H)
    energy_width = torch.matmul(to_rows(query).mT, to_rows(key))  # (N, H, W, W)
    energy_height = energy_height + self_mask(height, query)
    energy = torch.cat([energy_height.permute(0, 2, 1, 3), energy_width], 3)  # (N, H, W, H + W)
    attention_height, attention_width = (gamma * torch.softmax(energy, 3)).split([height, width], 3)
    return attention_height, attention_width


def gather_height(value: Tensor, attention: Tensor) -> Tensor:
    """Values (N, C, H, W) summed over each pixel's column, weighted by `attention` (N, H, W, H)."""
    return torch.matmul(to_columns(value), attention.permute(0, 2, 1, 3).mT).permute(0, 2, 3, 1)


def gather_width(value: Tensor, attention: Tensor) -> Tensor:
    """Values (N, C, H, W) summed over each pixel's row, weighted by `attention` (N, H, W, W)."""
    return torch.matmul(to_rows(value), attention.mT).permute(0, 2, 1, 3)


def to_columns(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, W, C, H), copied: products of matrices with both strides above 1 are slow."""
    return maps.permute(0, 3, 1, 2).contiguous()


def to_rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, C, W)."""
    return maps.permute(0, 2, 1, 3)


def self_mask(size: int, like: Tensor) -> Tensor:
    """(size, size): minus infinity on the diagonal, zero elsewhere."""
    return torch.zeros([size, size], dtype=like.dtype, device=like.device).fill_diagonal_(float("-inf"))
