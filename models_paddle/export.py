"""A twin as a program that Paddle Inference runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import paddle
from paddle import Tensor, nn


class TwoStepLeakyReLU(nn.Layer):
    """`nn.LeakyReLU` of a slope below 1 as a product and a maximum.

    Where a convolution is followed by Paddle's own, a fusion of oneDNN in Paddle 3.3.1 reads the slope as
    another type and ends the process.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, features: Tensor) -> Tensor:
        """Any shape -> the same."""
        return paddle.maximum(features, features * self.slope)


def prepare_for_export(network: nn.Layer) -> None:
    """Put `network` in eval mode, with layers that the tracer and oneDNN handle: the same function, in place."""
    network.eval()
    for layer in network.sublayers(include_self=True):
        if isinstance(layer, nn.BatchNorm2D):
            layer.__class__ = nn.BatchNorm2D  # the twins' own differs in train mode and in float64 only
        for name, child in layer.named_children():
            if isinstance(child, nn.LeakyReLU):
                setattr(layer, name, TwoStepLeakyReLU(child._negative_slope))


def save_program(network: nn.Layer, shape: Sequence[int | None], path: Path) -> None:
    """Trace `network` for float32 images of `shape` (N, 3, H, W; None is any) and write the program at `path`."""
    specification = [paddle.static.InputSpec(shape=list(shape), dtype="float32", name="images")]
    # Paddle 3's default tracer would ignore the specification.
    paddle.jit.save(paddle.jit.to_static(network, input_spec=specification, full_graph=True), str(path))
