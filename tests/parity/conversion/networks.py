"""Networks of a user's, in both frameworks: packed and split tensors, a buffer of each, a tied embedding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models_paddle import paddle
from tests.parity import renamed_port

WORDS, WIDTH, LENGTH = 11, 8, 5


class Reference(nn.Module):
    """The classifier multiplies by the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.scale = nn.Parameter(torch.ones(()))
        self.classifier = nn.Linear(WIDTH, WORDS)
        self.classifier.weight = self.embedding.weight
        self.register_buffer("positions", torch.arange(LENGTH))

    def forward(self, words: Tensor) -> Tensor:
        x = self.embedding(words)
        return self.classifier(x + self.scale * self.attention(x, x, x)[0])


class Port(paddle.nn.Layer):
    """Paddle keeps the projections apart, and linear weights the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.words = paddle.nn.Embedding(WORDS, WIDTH)
        self.attend = paddle.nn.MultiHeadAttention(WIDTH, 2)
        self.gain = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(1.0))
        self.bias = self.create_parameter([WORDS], is_bias=True)
        self.register_buffer("limits", paddle.to_tensor([0.0, 1.0]))

    def forward(self, words: Any) -> Any:
        x = self.words(words)
        x = x + self.gain * self.attend(x, x, x)
        return paddle.matmul(x, self.words.weight, transpose_y=True) + self.bias


class Batch(nn.Module):
    """A convolution, and normalisation without parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images))


def build_reference() -> Reference:
    return Reference()


def build_port() -> Port:
    return Port()


def build_larger() -> Port:
    port = Port()
    port.extra = paddle.nn.Linear(WIDTH, 3)
    return port


def build_half() -> Port:
    return Port().bfloat16()


def build_random_buffer() -> Port:
    port = Port()
    port.limits.set_value(paddle.rand([2]))
    return port


def build_without_auxiliary() -> renamed_port.Port:
    port = renamed_port.build()
    del port.deep_supervision
    port.deep_supervision = lambda images: None
    return port


def build_batch() -> Batch:
    return Batch()


def build_statistics_forgotten() -> Any:
    return paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 1))


def build_statistics_never_given() -> Any:
    layer = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 1))
    layer.add_sublayer("norm", paddle.nn.BatchNorm2D(5, weight_attr=False, bias_attr=False))
    return layer
