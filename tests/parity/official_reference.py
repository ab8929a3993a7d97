"""The official network as its authors write it, in torch: their names, their structure, their InPlaceABN. Depth 18.

Their activated norm is no BatchNorm: it scales by |weight| + epsilon, activates, and puts the result where its input
was, so that the convolution's own output is gone when the next layer runs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from families import DEPTHS
from twins.standin import make_state_dict

DEPTH = DEPTHS[18]
CLASSES = 19
EPSILON, SLOPE = float(np.float32(1e-5)), float(np.float32(0.01))
"""As the official CUDA code keeps them: as `float`."""


class ABN(nn.Module):
    """InPlaceABN without CUDA."""

    def __init__(self, features: int, activation: str = "leaky_relu") -> None:
        super().__init__()
        self.activation, self.eps, self.slope, self.momentum = activation, EPSILON, SLOPE, 0.1
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var
        scale = self.weight.abs() + self.eps
        y = functional.batch_norm(x.clone(), *statistics, scale, self.bias, self.training, self.momentum, self.eps)
        if self.activation == "leaky_relu":
            y = functional.leaky_relu(y, self.slope)
        return x.copy_(y)


BatchNorm = partial(ABN, activation="identity")


class Bottleneck(nn.Module):
    """Two ReLUs, one of which overwrites the sum."""

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = BatchNorm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, dilation, dilation, bias=False)
        self.bn2 = BatchNorm(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = BatchNorm(planes * 4)
        self.relu = nn.ReLU(inplace=False)
        self.relu_inplace = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu_inplace(out + (x if self.downsample is None else self.downsample(x)))


class CrissCrossAttention(nn.Module):
    """With the authors' infinite diagonal, and batches of columns and rows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.softmax = nn.Softmax(dim=3)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.size()

        def columns(maps: Tensor) -> Tensor:
            return maps.permute(0, 3, 1, 2).contiguous().view(batch * width, -1, height)

        def rows(maps: Tensor) -> Tensor:
            return maps.permute(0, 2, 1, 3).contiguous().view(batch * height, -1, width)

        query, key, value = self.query_conv(x), self.key_conv(x), self.value_conv(x)
        infinite = torch.diag(torch.tensor(float("inf")).repeat(height), 0).unsqueeze(0).repeat(batch * width, 1, 1)
        energy = torch.bmm(columns(query).permute(0, 2, 1), columns(key)) - infinite
        energy_columns = energy.view(batch, width, height, height).permute(0, 2, 1, 3)
        energy_rows = torch.bmm(rows(query).permute(0, 2, 1), rows(key)).view(batch, height, width, width)
        weights = self.softmax(torch.cat([energy_columns, energy_rows], 3))
        by_column = weights[..., :height].permute(0, 2, 1, 3).contiguous().view(batch * width, height, height)
        by_row = weights[..., height:].contiguous().view(batch * height, width, width)
        attended = torch.bmm(columns(value), by_column.permute(0, 2, 1)).view(batch, width, -1, height)
        beside = torch.bmm(rows(value), by_row.permute(0, 2, 1)).view(batch, height, -1, width)
        return self.gamma * (attended.permute(0, 2, 3, 1) + beside.permute(0, 2, 1, 3)) + x


class RCCAModule(nn.Module):
    """The head, which is told its recurrence at each call."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inter = inputs // 4
        self.conva = nn.Sequential(nn.Conv2d(inputs, inter, 3, padding=1, bias=False), ABN(inter))
        self.cca = CrissCrossAttention(inter)
        self.convb = nn.Sequential(nn.Conv2d(inter, inter, 3, padding=1, bias=False), ABN(inter))
        self.bottleneck = nn.Sequential(
            nn.Conv2d(inputs + inter, outputs, 3, padding=1, bias=False),
            ABN(outputs),
            nn.Dropout2d(0.1),
            nn.Conv2d(outputs, CLASSES, 1),
        )

    def forward(self, x: Tensor, recurrence: int = 1) -> Tensor:
        output = self.conva(x)
        for _ in range(recurrence):
            output = self.cca(output)
        output = self.convb(output)
        return self.bottleneck(torch.cat([x, output], 1))


class ResNet(nn.Module):
    """The network; its outputs are in a list."""

    def __init__(self, recurrence: int) -> None:
        super().__init__()
        planes = [width // DEPTH.width_divisor for width in (64, 128, 256, 512)]
        stem = planes[0]
        for number, (inputs, outputs, stride) in enumerate([(3, stem, 2), (stem, stem, 1), (stem, 2 * stem, 1)], 1):
            setattr(self, f"conv{number}", nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
            setattr(self, f"bn{number}", BatchNorm(outputs))
            setattr(self, f"relu{number}", nn.ReLU(inplace=False))
        self.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        inputs = 2 * stem
        for stage, (stride, dilation) in enumerate([(1, 1), (2, 1), (1, 2), (1, 4)]):
            setattr(self, f"layer{stage + 1}", _layer(inputs, planes[stage], DEPTH.blocks[stage], stride, dilation))
            inputs = 4 * planes[stage]
        self.head = RCCAModule(inputs, planes[3])
        self.dsn = nn.Sequential(
            nn.Conv2d(inputs // 2, planes[3], 3, padding=1),
            ABN(planes[3]),
            nn.Dropout2d(0.1),
            nn.Conv2d(planes[3], 19, 1),
        )
        self.recurrence = recurrence

    def forward(self, x: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.maxpool(self.relu3(self.bn3(self.conv3(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        auxiliary = self.dsn(x)
        return [self.head(self.layer4(x), self.recurrence), auxiliary]


def _layer(inputs: int, planes: int, blocks: int, stride: int, dilation: int) -> nn.Sequential:
    outputs = 4 * planes
    downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs))
    first = Bottleneck(inputs, planes, stride, dilation, downsample)
    return nn.Sequential(first, *(Bottleneck(outputs, planes, 1, dilation, None) for _ in range(blocks - 1)))


def build() -> ResNet:
    """The reference with torch's own initial values, which a file is loaded over."""
    return ResNet(2)


def build_loaded() -> ResNet:
    """The reference with weights that show everything, as after somebody's training."""
    reference = build()
    tensors: dict[str, Any] = make_state_dict("official", seed=1, depth=18, num_classes=CLASSES)
    reference.load_state_dict({name: torch.from_numpy(tensors[name]) for name in reference.state_dict()})
    return reference


def build_decimal() -> ResNet:
    """The same, with its slope and epsilon as the decimals that Python has."""
    reference = build_loaded()
    for module in reference.modules():
        if isinstance(module, ABN):
            module.eps, module.slope = 1e-5, 0.01
    return reference


def build_raising() -> ResNet:
    """Its forward pass fails."""
    reference = build_loaded()
    reference.head.bottleneck[0] = nn.Conv2d(3, 3, 1)
    return reference
