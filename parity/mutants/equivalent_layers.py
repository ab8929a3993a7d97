"""Other ways to compute convolutions, norms, activations and poolings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models_paddle import paddle
from models_paddle.layers import BatchNorm, ConvNorm
from parity.mutants.convolution import rebuilt
from parity.mutants.mutant import Mutant, Port, mutant

EQUIVALENTS: list[Mutant] = []
nn, functional = paddle.nn, paddle.nn.functional


@mutant(EQUIVALENTS)
def functional_activations(port: Port) -> None:
    """Functions instead of activation layers."""
    for block in port.of_type(ConvNorm):
        if block.activation is not None:
            slope = getattr(block.activation, "_negative_slope", 0.0)
            block.activation = None
            block.forward = _activated(block, slope)


@mutant(EQUIVALENTS)
def slopes_written_out(port: Port) -> None:
    """LeakyReLU's slope is 0.01, where InPlaceABN keeps it as a float32."""
    for path, activation in list(port.matching("*.activation").items()):
        if isinstance(activation, nn.LeakyReLU):
            port.replace(path, nn.LeakyReLU(0.01))


@mutant(EQUIVALENTS)
def norms_folded(port: Port) -> None:
    """Every BatchNorm of the backbone is folded into its convolution."""
    for block in port.of_type(ConvNorm, "backbone.*"):
        norm = block.norm
        weight = norm.weight.astype("float64") / (norm._variance.astype("float64") + norm._epsilon).sqrt()
        conv = rebuilt(block.conv, bias_attr=None).to(dtype="float64")
        conv.weight.set_value(block.conv.weight.astype("float64") * weight.reshape([-1, 1, 1, 1]))
        conv.bias.set_value(norm.bias.astype("float64") - norm._mean.astype("float64") * weight)
        block.conv, block.norm = conv, None
        block.forward = _unnormed(block)


@mutant(EQUIVALENTS)
def paddles_own_norm(port: Port) -> None:
    """Paddle's BatchNorm2D for the twin's, which rounds as torch does in float64."""
    for path, norm in list(port.matching("*.norm").items()):
        own = nn.BatchNorm2D(norm.weight.shape[0], momentum=0.9, epsilon=norm._epsilon)
        own.set_state_dict(norm.state_dict())
        port.replace(path, own)


@mutant(EQUIVALENTS)
def norm_written_out(port: Port) -> None:
    """(x - mean) / sqrt(variance + epsilon) · weight + bias, term by term."""
    for norm in port.of_type(BatchNorm):
        norm.forward = _term_by_term(norm)


@mutant(EQUIVALENTS)
def explicit_padding(port: Port) -> None:
    """Convolutions are a padding layer and an unpadded convolution."""
    for path, conv in list(port.matching("*.spatial.conv").items()):
        padding = conv._padding if isinstance(conv._padding, int) else conv._padding[0]
        port.replace(path, nn.Sequential(nn.Pad2D(padding), rebuilt(conv, padding=0)))


@mutant(EQUIVALENTS)
def unfolded_convolution(port: Port) -> None:
    """A 3 × 3 convolution as a matrix product with unfolded patches."""
    conv = port["head.refine.conv"]

    def forward(features: Any) -> Any:
        patches = functional.unfold(features, 3, paddings=1)
        product = conv.weight.flatten(1) @ patches
        return product.reshape([*product.shape[:2], *features.shape[2:]])

    conv.forward = forward


@mutant(EQUIVALENTS)
def sum_for_concatenation(port: Port) -> None:
    """The convolution of a concatenation is the sum of two, of its two parts."""
    fuse = port["head.fuse"]
    kernel = fuse.conv.weight
    width = kernel.shape[1] - kernel.shape[0]
    del fuse.conv
    fuse.left, fuse.right = (_convolution_of(part) for part in (kernel[:, :width], kernel[:, width:]))

    def forward(both: Any) -> Any:
        return fuse.activation(fuse.norm(fuse.left(both[:, :width]) + fuse.right(both[:, width:])))

    fuse.forward = forward


@mutant(EQUIVALENTS)
def zero_padded_pooling(port: Port) -> None:
    """Maximum over zeros at the border instead of minus infinity: after a ReLU nothing is smaller."""

    def forward(features: Any) -> Any:
        odd = [1 - size % 2 for size in features.shape[2:]]
        padded = functional.pad(features, [1, 1 + odd[1], 1, 1 + odd[0]])
        return functional.max_pool2d(padded, 3, 2)

    port["backbone.pool"].forward = forward


@mutant(EQUIVALENTS)
def channels_last(port: Port) -> None:
    """Residual blocks of stage 2 are NHWC inside."""
    for block in port.of_type(ConvNorm, "backbone.stage2.*.spatial"):
        conv = rebuilt(block.conv, data_format="NHWC")
        norm = nn.BatchNorm2D(block.norm.weight.shape[0], momentum=0.9, epsilon=block.norm._epsilon, data_format="NHWC")
        norm.set_state_dict(block.norm.state_dict())
        block.conv, block.norm = conv, norm
        block.forward = _channels_last(block)


def _convolution_of(kernel: Any) -> Any:
    conv = nn.Conv2D(kernel.shape[1], kernel.shape[0], 3, padding=1, bias_attr=False)
    conv.weight.set_value(kernel)
    return conv


def _activated(block: Any, slope: float) -> Callable[[Any], Any]:
    return lambda features: functional.leaky_relu(block.norm(block.conv(features)), slope)


def _unnormed(block: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        convolved = block.conv(features)
        return convolved if block.activation is None else block.activation(convolved)

    return forward


def _channels_last(block: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        inside = block.activation(block.norm(block.conv(features.transpose([0, 2, 3, 1]))))
        return inside.transpose([0, 3, 1, 2])

    return forward


def _term_by_term(norm: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        mean, variance, weight, bias = (
            tensor.reshape([1, -1, 1, 1]) for tensor in (norm._mean, norm._variance, norm.weight, norm.bias)
        )
        return (features - mean) / (variance + norm._epsilon).sqrt() * weight + bias

    return forward
