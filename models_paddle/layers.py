"""Building blocks of the twin: a convolution with its norm and activation, and the joints as modules.

Residual sums and concatenations are modules so that a probe can observe them.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn

from families import Architecture
from families.architecture import Activation
from models_paddle.norm import UnbiasedBatchNorm


class BatchNorm(UnbiasedBatchNorm):
    """BatchNorm; its momentum is the share kept of the old statistics, the complement of torch's."""

    def __init__(self, channels: int, *, epsilon: float) -> None:
        super().__init__(channels, epsilon=epsilon, momentum=0.9)


class ConvNorm(nn.Layer):
    """Convolution (same size at stride 1), BatchNorm and, unless None, an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        architecture: Architecture,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
        activation: Activation | None = "relu",
    ) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2D(inputs, outputs, kernel, stride, padding, dilation, bias_attr=None if bias else False)
        self.norm = BatchNorm(outputs, epsilon=architecture.norm_epsilon)
        self.activation = make_activation(activation, architecture)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        normed = self.norm(self.conv(features))
        return normed if self.activation is None else self.activation(normed)


def make_activation(activation: Activation | None, architecture: Architecture) -> nn.Layer | None:
    """The activation module, or None."""
    if activation is None:
        return None
    if activation == "relu":
        return nn.ReLU()
    return nn.LeakyReLU(architecture.leaky_slope)


def make_dropout(architecture: Architecture) -> nn.Layer:
    """Dropout before a classifier: whole channels or single elements, as the family has it."""
    if architecture.dropout == "channel":
        return nn.Dropout2D(architecture.dropout_rate)
    return nn.Dropout(architecture.dropout_rate)


class Add(nn.Layer):
    """Sum of two tensors of one shape."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


class Concatenate(nn.Layer):
    """(N, A, H, W), (N, B, H, W) -> (N, A + B, H, W)."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return paddle.concat([left, right], 1)
