"""The renamed port, as it comes: fresh, with weights that it loads itself, or with the signed scales of InPlaceABN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models_paddle import paddle
from models_paddle.layers import ConvNorm
from tests.parity.renamed_port import Port
from tests.parity.small_units import PaddleOwn


class Signed(PaddleOwn):
    """A norm that keeps the source's scale and adds |scale| + epsilon up itself."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, slope=1.0)


class WithoutEpsilon(Signed):
    """It takes |scale|."""

    def forward(self, x: Any) -> Any:
        return paddle.nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight.abs(), self.bias, epsilon=self.eps
        )


def build() -> Port:
    """With fresh weights."""
    paddle.seed(3)
    return Port(2)


def build_loaded() -> Port:
    """With weights of its own."""
    port = build()
    port.set_state_dict({name: tensor.numpy() * np.float32(0.9) for name, tensor in build().state_dict().items()})
    return port


def build_partly_loaded() -> Port:
    """With a backbone of its own."""
    port = build()
    port.res4.set_dict({name: tensor.numpy() * np.float32(0.9) for name, tensor in build().res4.state_dict().items()})
    return port


def build_signed() -> Port:
    """With norms that keep signed scales."""
    return _with_norms(Signed)


def build_without_epsilon() -> Port:
    """The same without the epsilon."""
    return _with_norms(WithoutEpsilon)


def _with_norms(kind: Callable[[int], Any]) -> Port:
    port = build()
    for block in port.sublayers():
        if isinstance(block, ConvNorm):
            block.norm = kind(block.norm.weight.shape[0])
    return port
