"""Criss-cross attention computed as the official pure-Python branch does (speedinghzl/CCNet, networks/CC.py).

Columns and rows become batches of contiguous copies; the mask is made anew for every column.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CrissCrossAttention(nn.Module):
    """(N, C, H, W) -> (N, C, H, W), with C / 8 channels of query and key."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        batch, _, height, width = features.shape
        query_columns, query_rows = to_columns_and_rows(self.query_conv(features))
        key_columns, key_rows = to_columns_and_rows(self.key_conv(features))
        value_columns, value_rows = to_columns_and_rows(self.value_conv(features))
        energy_columns = torch.bmm(query_columns.permute(0, 2, 1), key_columns) + mask(batch * width, height, features)
        energy_columns = energy_columns.view(batch, width, height, height).permute(0, 2, 1, 3)
        energy_rows = torch.bmm(query_rows.permute(0, 2, 1), key_rows).view(batch, height, width, width)
        attention = torch.softmax(torch.cat([energy_columns, energy_rows], 3), 3)
        of_columns = attention[..., :height].permute(0, 2, 1, 3).contiguous().view(batch * width, height, height)
        of_rows = attention[..., height:].contiguous().view(batch * height, width, width)
        from_columns = torch.bmm(value_columns, of_columns.permute(0, 2, 1)).view(batch, width, -1, height)
        from_rows = torch.bmm(value_rows, of_rows.permute(0, 2, 1)).view(batch, height, -1, width)
        return self.gamma * (from_columns.permute(0, 2, 3, 1) + from_rows.permute(0, 2, 1, 3)) + features


def to_columns_and_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) -> (N * W, C, H) and (N * H, C, W), both contiguous."""
    batch, _, height, width = features.shape
    columns = features.permute(0, 3, 1, 2).contiguous().view(batch * width, -1, height)
    rows = features.permute(0, 2, 1, 3).contiguous().view(batch * height, -1, width)
    return columns, rows


def mask(batch: int, size: int, like: Tensor) -> Tensor:
    """(batch, size, size): minus infinity on each diagonal."""
    infinity = torch.tensor(float("inf"), dtype=like.dtype, device=like.device)
    return -torch.diag(infinity.repeat(size), 0).unsqueeze(0).repeat(batch, 1, 1)
