"""ResNet with a three-convolution stem and dilated last stages: output stride 8 (networks/ccnet.py, `ResNet`)."""

from __future__ import annotations

from paddle import Tensor, nn

from families import DEPTHS, Architecture
from families.canonical import EXPANSION, KERNELS, STAGE_WIDTHS
from models_paddle.layers import Add, ConvNorm

STRIDES = (1, 2, 1, 1)
DILATIONS = (1, 1, 2, 4)


class Shortcut(ConvNorm):
    """1 x 1 convolution and norm; the stride is the convolution's or that of an average pooling before it."""

    def __init__(self, inputs: int, outputs: int, architecture: Architecture, *, stride: int) -> None:
        pooled = stride > 1 and architecture.average_pool_shortcut
        conv_stride = 1 if pooled else stride
        super().__init__(inputs, outputs, KERNELS["shortcut"], architecture, stride=conv_stride, activation=None)
        self.pool = nn.AvgPool2D(stride, stride, ceil_mode=True) if pooled else None

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        # Paddle cannot trace super() for export.
        return ConvNorm.forward(self, features if self.pool is None else self.pool(features))


class Bottleneck(nn.Layer):
    """1 x 1, 3 x 3 and 1 x 1 convolution around a shortcut, which is a layer where the shape changes."""

    def __init__(
        self, inputs: int, width: int, architecture: Architecture, *, stride: int, dilation: int, first: bool
    ) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.reduce = ConvNorm(inputs, width, KERNELS["reduce"], architecture)
        self.spatial = ConvNorm(width, width, KERNELS["spatial"], architecture, stride=stride, dilation=dilation)
        self.expand = ConvNorm(width, outputs, KERNELS["expand"], architecture, activation=None)
        self.shortcut = Shortcut(inputs, outputs, architecture, stride=stride) if first else None
        self.residual = Add()
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 4 * width, ceil(H / stride), ceil(W / stride))."""
        expanded = self.expand(self.spatial(self.reduce(features)))
        shortcut = features if self.shortcut is None else self.shortcut(features)
        return self.activation(self.residual(expanded, shortcut))


class ResNet(nn.Layer):
    """The backbone: stem, max-pooling and four stages of bottlenecks."""

    def __init__(self, architecture: Architecture, *, depth: int) -> None:
        super().__init__()
        divisor = DEPTHS[depth].width_divisor
        stem = [width // divisor for width in architecture.stem_widths]
        self.stem = nn.Sequential(
            ConvNorm(3, stem[0], 3, architecture, stride=2),
            ConvNorm(stem[0], stem[1], 3, architecture),
            ConvNorm(stem[1], stem[2], 3, architecture),
        )
        self.pool = nn.MaxPool2D(3, 2, 1, ceil_mode=architecture.pool_ceil_mode)
        widths = [width // divisor for width in STAGE_WIDTHS]
        inputs = [stem[2], *(width * EXPANSION for width in widths)]
        stages = [
            make_stage(inputs[stage], widths[stage], architecture, stage=stage, blocks=blocks)
            for stage, blocks in enumerate(DEPTHS[depth].blocks)
        ]
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.auxiliary_width, self.width = inputs[3], inputs[4]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> features of stage 3 and of stage 4, at an eighth of the size."""
        features = self.stage2(self.stage1(self.pool(self.stem(images))))
        auxiliary_features = self.stage3(features)
        return auxiliary_features, self.stage4(auxiliary_features)


def make_stage(inputs: int, width: int, architecture: Architecture, *, stage: int, blocks: int) -> nn.Sequential:
    """`blocks` bottlenecks, the first of which changes the shape. `stage` counts from 0."""
    stride, dilation = STRIDES[stage], DILATIONS[stage]
    first_dilation = max(dilation // 2, 1) if architecture.contracted_dilation else dilation
    return nn.Sequential(
        Bottleneck(inputs, width, architecture, stride=stride, dilation=first_dilation, first=True),
        *(
            Bottleneck(width * EXPANSION, width, architecture, stride=1, dilation=dilation, first=False)
            for _ in range(blocks - 1)
        ),
    )
