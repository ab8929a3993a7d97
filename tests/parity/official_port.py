"""A port that follows the official code: its names, one ReLU for a whole block, activations between the containers.

Where it draws the boundaries of its modules is not where the twins draw theirs. Depth 18.
"""

from __future__ import annotations

from typing import Any

from families import DEPTHS
from models_paddle import paddle
from models_paddle.norm import unbias

nn, functional = paddle.nn, paddle.nn.functional

DEPTH = DEPTHS[18]
SLOPE = 0.01


class Bottleneck(nn.Layer):
    """Its one ReLU is called three times."""

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, downsample: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(inputs, planes, 1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(planes)
        self.conv2 = nn.Conv2D(planes, planes, 3, stride, padding=dilation, dilation=dilation, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(planes)
        self.conv3 = nn.Conv2D(planes, planes * 4, 1, bias_attr=False)
        self.bn3 = nn.BatchNorm2D(planes * 4)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Attention(nn.Layer):
    """One branch after the other, with the mask on the rows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2D(channels, channels // 8, 1)
        self.key_conv = nn.Conv2D(channels, channels // 8, 1)
        self.value_conv = nn.Conv2D(channels, channels, 1)
        self.softmax = nn.Softmax(3)
        self.gamma = self.create_parameter([1])

    def forward(self, x: Any) -> Any:
        attended = attend(self.query_conv(x), self.key_conv(x), self.value_conv(x), self.softmax)
        return self.gamma * attended + x


def attend(query: Any, key: Any, value: Any, softmax: Any) -> Any:
    """The values along each position's row and column, weighted."""
    height, width = value.shape[2:]
    columns = paddle.einsum("nchw,ncgw->nhwg", query, key)
    rows = paddle.einsum("nchw,nchv->nhwv", query, key) - 1e30 * paddle.eye(width, dtype=value.dtype)
    weights = softmax(paddle.concat([columns, rows], 3))
    attended = paddle.einsum("nhwg,ncgw->nchw", weights[..., :height], value)
    return attended + paddle.einsum("nhwv,nchv->nchw", weights[..., height:], value)


class Head(nn.Layer):
    """The convolutions' activations are in none of their containers."""

    def __init__(self, inputs: int, channels: int, classes: int, recurrence: int) -> None:
        super().__init__()
        self.conva = _conv_norm(inputs, channels)
        self.cca = Attention(channels)
        self.convb = _conv_norm(channels, channels)
        self.bottleneck = nn.Sequential(
            *_conv_norm(inputs + channels, channels).children(),
            nn.LeakyReLU(SLOPE),
            nn.Dropout2D(0.1),
            nn.Conv2D(channels, classes, 1),
        )
        self.recurrence = recurrence

    def forward(self, x: Any) -> Any:
        output = functional.leaky_relu(self.conva(x), SLOPE)
        for _ in range(self.recurrence):
            output = self.cca(output)
        output = functional.leaky_relu(self.convb(output), SLOPE)
        return self.bottleneck(paddle.concat([x, output], 1))


class InlineHead(Head):
    """The attention's layers, and its scale, are the head's own."""

    def __init__(self, inputs: int, channels: int, classes: int, recurrence: int) -> None:
        super().__init__(inputs, channels, classes, recurrence)
        self.query, self.key, self.value = self.cca.query_conv, self.cca.key_conv, self.cca.value_conv
        self.scale = self.create_parameter([1])
        del self.cca
        self.cca = self.one_pass

    def one_pass(self, x: Any) -> Any:
        """One pass of attention."""
        return self.scale * attend(self.query(x), self.key(x), self.value(x), functional.softmax) + x


class Network(nn.Layer):
    """The stem's layers are the network's own."""

    def __init__(self, recurrence: int = 2, head: type[Head] = Head) -> None:
        super().__init__()
        planes = [width // DEPTH.width_divisor for width in (64, 128, 256, 512)]
        stem = planes[0]
        for number, (inputs, outputs, stride) in enumerate([(3, stem, 2), (stem, stem, 1), (stem, 2 * stem, 1)], 1):
            setattr(self, f"conv{number}", nn.Conv2D(inputs, outputs, 3, stride, padding=1, bias_attr=False))
            setattr(self, f"bn{number}", nn.BatchNorm2D(outputs))
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2D(3, 2, 1, ceil_mode=True)
        inputs = 2 * stem
        for stage, (stride, dilation) in enumerate([(1, 1), (2, 1), (1, 2), (1, 4)]):
            setattr(self, f"layer{stage + 1}", _layer(inputs, planes[stage], DEPTH.blocks[stage], stride, dilation))
            inputs = 4 * planes[stage]
        self.head = head(inputs, planes[3], 19, recurrence)
        self.dsn = nn.Sequential(
            nn.Conv2D(inputs // 2, planes[3], 3, padding=1),
            nn.BatchNorm2D(planes[3]),
            nn.LeakyReLU(SLOPE),
            nn.Dropout2D(0.1),
            nn.Conv2D(planes[3], 19, 1),
        )

    def forward(self, x: Any) -> Any:
        for number in (1, 2, 3):
            x = self.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)))
        x = self.layer3(self.layer2(self.layer1(self.maxpool(x))))
        auxiliary = self.dsn(x)
        return self.head(self.layer4(x)), auxiliary


def _conv_norm(inputs: int, outputs: int) -> Any:
    return nn.Sequential(nn.Conv2D(inputs, outputs, 3, padding=1, bias_attr=False), nn.BatchNorm2D(outputs))


def _layer(inputs: int, planes: int, blocks: int, stride: int, dilation: int) -> Any:
    outputs = 4 * planes
    downsample = nn.Sequential(nn.Conv2D(inputs, outputs, 1, stride, bias_attr=False), nn.BatchNorm2D(outputs))
    first = Bottleneck(inputs, planes, stride, dilation, downsample)
    return nn.Sequential(first, *(Bottleneck(outputs, planes, 1, dilation, None) for _ in range(blocks - 1)))


def build() -> Network:
    """The right port."""
    return Network()


def build_inline() -> Network:
    """The right port, whose attention is no module and whose running variance is unbiased."""
    port = Network(head=InlineHead)
    unbias(port)
    return port


def build_frozen() -> Network:
    """The same, whose scale is never trained."""
    port = build_inline()
    port.head.scale.stop_gradient = True
    return port


def build_raising() -> Network:
    """Its forward pass fails."""
    port = Network()
    port.head.bottleneck[0] = nn.Conv2D(3, 3, 1)
    return port
