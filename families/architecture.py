"""What a checkpoint family is: frozen data that both twins, the converter and the reports read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Activation = Literal["relu", "leaky_relu"]
LayerKind = Literal["conv", "norm", "abn", "paddle_norm", "scale", "scalar_scale"]
Framework = Literal["torch", "paddle"]

AUXILIARY = "auxiliary_head."

# InPlaceABN and Paddle keep these as C floats; a float64 comparison sees the difference.
FLOAT32_EPSILON = 9.999999747378752e-06
FLOAT32_LEAKY_SLOPE = 0.009999999776482582


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Size of the residual backbone.

    `blocks` are the bottleneck blocks per stage; every width of the network is divided by
    `width_divisor` (1 for the published networks).
    """

    blocks: tuple[int, int, int, int]
    width_divisor: int = 1


DEPTHS: dict[int, Depth] = {
    # Narrow and shallow, for quick tests of the machinery; no published checkpoint has this size.
    18: Depth(blocks=(2, 2, 2, 2), width_divisor=8),
    50: Depth(blocks=(3, 4, 6, 3)),
    101: Depth(blocks=(3, 4, 23, 3)),
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything in which the CCNets in circulation differ, apart from depth, classes and recurrence.

    Widths are those of the undivided network, in channels. The defaults that all families share
    (3 x 3 stem of stride 2, output stride 8, 512-channel head, 64-channel query and key) live in
    the twins and in `families.canonical`.
    """

    stem_widths: tuple[int, int, int]
    pool_ceil_mode: bool
    """3 x 3 max-pooling of stride 2 after the stem: round its output size up."""
    average_pool_shortcut: bool
    """Shortcut of a strided block: 2 x 2 average pooling and a 1 x 1 convolution, instead of a strided one."""
    contracted_dilation: bool
    """First block of stages 3 and 4 at half the stage's dilation."""
    norm_epsilon: float
    head_activation: Activation
    """After `head.reduce` and `head.refine`."""
    fuse_activation: Activation
    fuse_conv_bias: bool
    auxiliary_activation: Activation
    auxiliary_conv_bias: bool
    auxiliary_width: int
    leaky_slope: float = FLOAT32_LEAKY_SLOPE
    dropout: Literal["channel", "element"] = "channel"
    dropout_rate: float = 0.1
    heads: bool = True
    """False: the backbone alone, as an initialiser has it."""
    auxiliary: bool = True
    """False: without the auxiliary head, which only training needs."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From decoded pixels (uint8, 0-255) to network input: `(pixel - mean) / deviation`, in `channel_order`."""

    channel_order: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    align_corners: bool
    """Of the bilinear resize that brings logits to image size."""


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """A published single-scale mIoU, in percent; `multi_scale` is with several scales and flips.

    `file` is a part of the published file's name, if that tells the figures of a family apart.
    """

    label: str
    recurrence: int
    miou: float
    source: str
    dataset: str = "Cityscapes val"
    multi_scale: float | None = None
    depth: int = 101
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Files of a family that need another resize than its `preprocessing` says, known by their names."""

    file: str
    align_corners: bool


@dataclass(frozen=True)
class Rule:
    """One row of a key table: a layer of the family and the canonical layer it becomes.

    `source` and `target` are module paths that may contain `{stage}` and `{block}`, which stand for
    decimal numbers, and `source` also `{index}`, the stage counted from 0. `layer` names the layer's
    tensors and what is done to each (`families.rules.LAYERS`).
    """

    source: str
    target: str
    layer: LayerKind


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of checkpoint found in the wild."""

    name: str
    description: str
    architecture: Architecture
    rules: tuple[Rule, ...]
    preprocessing: Preprocessing
    published: tuple[PublishedFigure, ...] = ()
    framework: Framework = "torch"
    """Whose checkpoints have the family's own keys."""
    variants: tuple[Variant, ...] = ()
    unused: tuple[str, ...] = ()
    """Layers that its files may have and no CCNet has."""
    left_out: tuple[str, ...] = ()
    """Layers of an auxiliary head that this form of the family is without."""
    fold_optional: bool = False
    """Plain BatchNorm that the official training loads into InPlaceABN: both readings have their use."""

    def preprocessing_for(self, file_name: str) -> Preprocessing:
        """`preprocessing`, as a published file of this name needs it."""
        for variant in self.variants:
            if variant.file in file_name:
                return replace(self.preprocessing, align_corners=variant.align_corners)
        return self.preprocessing

    def published_for(self, file_name: str, *, depth: int) -> list[PublishedFigure]:
        """The published figures that a file of this name and depth may have reached."""
        return [figure for figure in self.published if figure.file in file_name and figure.depth == depth]

    def folded(self) -> Family:
        """The family read as InPlaceABN reads it: every norm scales by |weight| + eps."""
        rules = tuple(replace(rule, layer="abn") if rule.layer == "norm" else rule for rule in self.rules)
        return replace(self, rules=rules)

    def plain(self) -> Family:
        """The family with scales that are BatchNorm's already: none is folded."""
        rules = tuple(replace(rule, layer="norm") if rule.layer == "abn" else rule for rule in self.rules)
        return replace(self, rules=rules)

    def without_auxiliary(self) -> Family:
        """The family without its auxiliary head, whose layers are then of no use."""
        if not (self.architecture.heads and self.architecture.auxiliary):
            return self
        return replace(
            self,
            architecture=replace(self.architecture, auxiliary=False),
            rules=tuple(rule for rule in self.rules if not rule.target.startswith(AUXILIARY)),
            left_out=self.auxiliary_layers,
        )

    @property
    def scales(self) -> str:
        """How its norms' scales are read: "fold" as InPlaceABN's, "plain" as BatchNorm's."""
        return "fold" if any(rule.layer == "abn" for rule in self.rules) else "plain"

    @property
    def auxiliary_layers(self) -> tuple[str, ...]:
        """The auxiliary head's layers, as the family calls them."""
        return tuple(rule.source for rule in self.rules if rule.target.startswith(AUXILIARY))
