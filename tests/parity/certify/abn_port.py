"""The official code translated line by line: InPlaceABN is a layer that holds a BatchNorm, and ends in the activation.

The head is told its recurrence at each call, as the authors have it; called without, it makes one pass. Depth 18.
"""

from __future__ import annotations

from typing import Any

from models_paddle import paddle
from models_paddle.norm import unbias
from tests.parity import official_port

nn, functional = paddle.nn, paddle.nn.functional
WIDTH = 512 // official_port.DEPTH.width_divisor


class InPlaceABN(nn.Layer):
    """The two as one layer."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2D(features)

    def forward(self, x: Any) -> Any:
        return functional.leaky_relu(self.bn(x), official_port.SLOPE)


class RCCAModule(nn.Layer):
    """The head."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conva = nn.Sequential(nn.Conv2D(inputs, channels, 3, padding=1, bias_attr=False), InPlaceABN(channels))
        self.cca = official_port.Attention(channels)
        self.convb = nn.Sequential(nn.Conv2D(channels, channels, 3, padding=1, bias_attr=False), InPlaceABN(channels))
        self.bottleneck = nn.Sequential(
            nn.Conv2D(inputs + channels, channels, 3, padding=1, bias_attr=False),
            InPlaceABN(channels),
            nn.Dropout2D(0.1),
            nn.Conv2D(channels, 19, 1),
        )

    def forward(self, x: Any, recurrence: int = 1) -> Any:
        output = self.conva(x)
        for _ in range(recurrence):
            output = self.cca(output)
        return self.bottleneck(paddle.concat([x, self.convb(output)], 1))


class Network(official_port.Network):
    """Its outputs are a list."""

    def __init__(self) -> None:
        super().__init__()
        self.head = RCCAModule(4 * WIDTH, WIDTH)
        self.dsn = nn.Sequential(
            nn.Conv2D(2 * WIDTH, WIDTH, 3, padding=1), InPlaceABN(WIDTH), nn.Dropout2D(0.1), nn.Conv2D(WIDTH, 19, 1)
        )

    def forward(self, x: Any) -> Any:
        for number in (1, 2, 3):
            x = self.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)))
        x = self.layer3(self.layer2(self.layer1(self.maxpool(x))))
        return [self.head(self.layer4(x), 2), self.dsn(x)]


def build() -> Network:
    """Right in every gradient."""
    port = Network()
    unbias(port)
    return port


class Dropping(nn.Layer):
    """Drops by a function."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Any) -> Any:
        return getattr(functional, self.name)(x, 0.1, training=self.training)


def _by_function(name: str) -> Network:
    port = build()
    port.head.bottleneck[2], port.dsn[2] = Dropping(name), Dropping(name)
    return port


def build_dropping_channels() -> Network:
    """As the reference, by a function."""
    return _by_function("dropout2d")


def build_dropping_elements() -> Network:
    """The mistake: elements, by a function."""
    return _by_function("dropout")
