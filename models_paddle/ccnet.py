"""CCNet: dilated ResNet, recurrent criss-cross attention head and auxiliary head (arXiv:1811.11721)."""

from __future__ import annotations

from paddle import Tensor, nn

from families import DEPTHS, Architecture, check_size, get_family
from families.canonical import HEAD_WIDTH, QUERY_WIDTH
from models_paddle.attention import CrissCrossAttention
from models_paddle.backbone import ResNet
from models_paddle.initialise import initialise
from models_paddle.layers import Concatenate, ConvNorm, make_dropout


class AttentionHead(nn.Layer):
    """Recurrent criss-cross attention between two convolutions, fused with the input (`RCCAModule`)."""

    def __init__(
        self, inputs: int, architecture: Architecture, *, num_classes: int, recurrence: int, divisor: int
    ) -> None:
        super().__init__()
        width = HEAD_WIDTH // divisor
        self.recurrence = recurrence
        self.reduce = ConvNorm(inputs, width, 3, architecture, activation=architecture.head_activation)
        self.attention = CrissCrossAttention(width, QUERY_WIDTH // divisor)
        self.refine = ConvNorm(width, width, 3, architecture, activation=architecture.head_activation)
        self.concatenate = Concatenate()
        self.fuse = ConvNorm(
            inputs + width,
            width,
            3,
            architecture,
            bias=architecture.fuse_conv_bias,
            activation=architecture.fuse_activation,
        )
        self.dropout = make_dropout(architecture)
        self.classifier = nn.Conv2D(width, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) -> logits (N, K, h, w). One attention module serves all passes."""
        attended = self.reduce(features)
        for _ in range(self.recurrence):
            attended = self.attention(attended)
        fused = self.fuse(self.concatenate(features, self.refine(attended)))
        return self.classifier(self.dropout(fused))


class AuxiliaryHead(nn.Layer):
    """Convolution and classifier on the features of stage 3 (`dsn`)."""

    def __init__(self, inputs: int, architecture: Architecture, *, num_classes: int, divisor: int) -> None:
        super().__init__()
        width = architecture.auxiliary_width // divisor
        self.fuse = ConvNorm(
            inputs,
            width,
            3,
            architecture,
            bias=architecture.auxiliary_conv_bias,
            activation=architecture.auxiliary_activation,
        )
        self.dropout = make_dropout(architecture)
        self.classifier = nn.Conv2D(width, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) -> logits (N, K, h, w)."""
        return self.classifier(self.dropout(self.fuse(features)))


class CCNet(nn.Layer):
    """The whole network. `recurrence` passes of attention; 0 leaves the attention out.

    Where the architecture has no heads, it is the backbone alone; it may be without the auxiliary head only.
    """

    def __init__(self, architecture: Architecture, *, num_classes: int, recurrence: int, depth: int) -> None:
        super().__init__()
        divisor = DEPTHS[depth].width_divisor
        self.backbone = ResNet(architecture, depth=depth)
        self.has_heads, self.has_auxiliary = architecture.heads, architecture.auxiliary
        if not self.has_heads:
            return
        self.head = AttentionHead(
            self.backbone.width, architecture, num_classes=num_classes, recurrence=recurrence, divisor=divisor
        )
        if self.has_auxiliary:
            self.auxiliary_head = AuxiliaryHead(
                self.backbone.auxiliary_width, architecture, num_classes=num_classes, divisor=divisor
            )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W), preprocessed -> logits and auxiliary logits, both (N, K, h, w).

        The logits have the network's own resolution, about an eighth of the images'. Without heads:
        features of stage 4 and of stage 3. Without the auxiliary head: the logits alone, in a tuple.
        """
        auxiliary_features, features = self.backbone(images)
        if not self.has_heads:
            return features, auxiliary_features
        if not self.has_auxiliary:
            return (self.head(features),)
        return self.head(features), self.auxiliary_head(auxiliary_features)


def build_ccnet(
    family: str = "official",
    *,
    num_classes: int = 19,
    recurrence: int = 2,
    depth: int = 101,
    auxiliary: bool = True,
) -> CCNet:
    """A CCNet of `family`, initialised by its own scheme, in the default dtype, in train mode.

    `auxiliary` is whether it has the auxiliary head, which only training needs.

    Raises ValueError for an unknown family or depth, fewer than one class or a negative recurrence.
    """
    model = construct_ccnet(family, num_classes=num_classes, recurrence=recurrence, depth=depth, auxiliary=auxiliary)
    initialise(model, family)
    return model


def construct_ccnet(family: str, *, num_classes: int, recurrence: int, depth: int, auxiliary: bool = True) -> CCNet:
    """`build_ccnet` with the framework's own initial values, for a network that is loaded at once."""
    chosen = get_family(family)
    architecture = (chosen if auxiliary else chosen.without_auxiliary()).architecture
    check_size(num_classes=num_classes, recurrence=recurrence, depth=depth)
    return CCNet(architecture, num_classes=num_classes, recurrence=recurrence, depth=depth)
