"""One small network, whose convolution, norm and activation are drawn in one, two or three layers, in both frameworks.

Styles of a unit: "separate" (three layers), "function" (the activation is a function), "abn" (a BatchNorm that ends in
the activation), "own" (a layer of its own class that scales by |weight| + epsilon and ends in the activation), "one"
(all three in one layer with its own parameters).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle

pnn, pf = paddle.nn, paddle.nn.functional
STYLES = ("separate", "function", "abn", "own", "one")
SLOPE = 0.01
EPSILON = 1e-5


class TorchAbn(nn.BatchNorm2d):
    """Norm and activation."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__(channels)
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return tf.leaky_relu(super().forward(x), self.slope)


class TorchOwn(nn.Module):
    """The same, as the official extension: its scale is |weight| + epsilon, and it overwrites its input."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps, self.slope = EPSILON, slope

    def forward(self, x: Any) -> Any:
        scale = self.weight.abs() + self.eps
        x.copy_(tf.batch_norm(x.clone(), self.running_mean, self.running_var, scale, self.bias, eps=self.eps))
        return tf.leaky_relu_(x, self.slope)


class TorchOne(nn.Module):
    """Convolution, norm and activation."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.gamma, self.beta = nn.Parameter(torch.ones(outputs)), nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("variance", torch.ones(outputs))
        self.slope = slope

    def forward(self, x: Any) -> Any:
        x = tf.conv2d(x, self.kernel, padding=1)
        return tf.leaky_relu(tf.batch_norm(x, self.mean, self.variance, self.gamma, self.beta), self.slope)


class TorchFunction(nn.Module):
    """Two layers and a function."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return tf.leaky_relu(self.norm(self.conv(x)), self.slope)


def torch_unit(style: str, inputs: int, outputs: int, slope: float) -> Any:
    if style in ("one", "function"):
        return (TorchOne if style == "one" else TorchFunction)(inputs, outputs, slope)
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    if style == "separate":
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(slope))
    return nn.Sequential(conv, (TorchAbn if style == "abn" else TorchOwn)(outputs, slope))


class TorchNet(nn.Module):
    """A stem, a block with a shortcut, and a classifier."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.stem = torch_unit(style, 3, 6, SLOPE)
        self.block = nn.ModuleDict({"reduce": torch_unit(style, 6, 5, SLOPE), "expand": torch_unit(style, 5, 6, 1.0)})
        self.refine = torch_unit(style, 6, 8, SLOPE)
        self.classifier = nn.Conv2d(8, 4, 1)

    def forward(self, images: Any) -> Any:
        x = self.stem(images)
        x = torch.relu(x + self.block["expand"](self.block["reduce"](x)))
        return self.classifier(self.refine(x))


class PaddleAbn(pnn.BatchNorm2D):
    """As TorchAbn."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__(channels)
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return pf.leaky_relu(super().forward(x), self.slope)


class PaddleOwn(pnn.Layer):
    """As TorchOwn."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        ones = pnn.initializer.Constant(1.0)
        self.weight = self.create_parameter([channels], default_initializer=ones)
        self.bias = self.create_parameter([channels], is_bias=True)
        self.register_buffer("running_mean", paddle.zeros([channels]))
        self.register_buffer("running_var", paddle.ones([channels]))
        self.eps, self.slope = EPSILON, slope

    def forward(self, x: Any) -> Any:
        scale = self.weight.abs() + self.eps
        normed = pf.batch_norm(x, self.running_mean, self.running_var, scale, self.bias, epsilon=self.eps)
        return pf.leaky_relu(normed, self.slope)


class PaddleOne(pnn.Layer):
    """As TorchOne."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        super().__init__()
        ones = pnn.initializer.Constant(1.0)
        self.kernel = self.create_parameter([outputs, inputs, 3, 3])
        self.gamma = self.create_parameter([outputs], default_initializer=ones)
        self.beta = self.create_parameter([outputs], is_bias=True)
        self.register_buffer("mean", paddle.zeros([outputs]))
        self.register_buffer("variance", paddle.ones([outputs]))
        self.eps, self.slope = EPSILON, slope

    def forward(self, x: Any) -> Any:
        x = pf.conv2d(x, self.kernel, padding=1)
        normed = pf.batch_norm(x, self.mean, self.variance, self.gamma, self.beta, epsilon=self.eps)
        return pf.leaky_relu(normed, self.slope)


class PaddleFunction(pnn.Layer):
    """As TorchFunction."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        super().__init__()
        self.c, self.n = pnn.Conv2D(inputs, outputs, 3, padding=1, bias_attr=False), pnn.BatchNorm2D(outputs)
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return pf.leaky_relu(self.n(self.c(x)), self.slope)


def paddle_unit(style: str, inputs: int, outputs: int, slope: float) -> Any:
    if style in ("one", "function"):
        return (PaddleOne if style == "one" else PaddleFunction)(inputs, outputs, slope)
    conv = pnn.Conv2D(inputs, outputs, 3, padding=1, bias_attr=False)
    if style == "separate":
        return pnn.Sequential(conv, pnn.BatchNorm2D(outputs), pnn.LeakyReLU(slope))
    return pnn.Sequential(conv, (PaddleAbn if style == "abn" else PaddleOwn)(outputs, slope))


class PaddleNet(pnn.Layer):
    """The same, under other names."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.entry = paddle_unit(style, 3, 6, SLOPE)
        self.inner, self.outer = paddle_unit(style, 6, 5, SLOPE), paddle_unit(style, 5, 6, 1.0)
        self.last = paddle_unit(style, 6, 8, SLOPE)
        self.logits = pnn.Conv2D(8, 4, 1)

    def forward(self, images: Any) -> Any:
        x = self.entry(images)
        x = pf.relu(x + self.outer(self.inner(x)))
        return self.logits(self.last(x))


def make_reference(style: str, *, seed: int = 0) -> TorchNet:
    """With random weights and statistics; some scales are negative where their magnitude is taken."""
    generator = torch.Generator().manual_seed(seed)
    model = TorchNet(style).eval()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator)
            if "var" in name:
                drawn = drawn.square() + 0.5
            elif tensor.ndim == 1 and ("weight" in name or "gamma" in name):
                drawn = drawn.abs() + 0.3
                drawn[: len(drawn) // 3] *= -1 if style == "own" else 1
            tensor.copy_(drawn)
    return model


def parts(unit: Any, *kinds: type) -> list[Any]:
    """The layers of those classes in a unit, itself included."""
    return [layer for layer in unit.sublayers(include_self=True) if isinstance(layer, kinds)]


IMAGES = {
    "odd": np.random.default_rng(0).standard_normal((2, 3, 9, 7)),
    "even": np.random.default_rng(1).standard_normal((2, 3, 8, 12)),
}
