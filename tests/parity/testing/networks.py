"""A small network and its port, in both frameworks; each argument is a mistake."""

from __future__ import annotations

from typing import Any

import torch

from models_paddle import paddle


class TorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.bn = torch.nn.BatchNorm2d(4)
        self.last = torch.nn.Conv2d(4, 2, 1)

    def forward(self, x: Any) -> Any:
        return self.last(torch.relu(self.bn(self.conv(x))))


class PaddleNet(paddle.nn.Layer):
    def __init__(self, epsilon: float = 1e-5, padding: int = 0) -> None:
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 3, padding=padding)
        self.bn = paddle.nn.BatchNorm2D(4, epsilon=epsilon)
        self.last = paddle.nn.Conv2D(4, 2, 1)

    def forward(self, x: Any) -> Any:
        return self.last(paddle.nn.functional.relu(self.bn(self.conv(x))))


class TorchLinear(torch.nn.Module):
    """Without biases or statistics: nothing tells a fresh port from a loaded one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = torch.nn.Linear(5, 5, bias=False)

    def forward(self, x: Any) -> Any:
        return self.one(x)


class PaddleLinear(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.one = paddle.nn.Linear(5, 5, bias_attr=False)

    def forward(self, x: Any) -> Any:
        return self.one(x)


def build() -> TorchNet:
    return TorchNet()


def build_port() -> PaddleNet:
    return PaddleNet()


def build_wrong_port() -> PaddleNet:
    return PaddleNet(epsilon=1e-3)
