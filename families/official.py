"""speedinghzl/CCNet, branches `pure-python`, `master` and `pytorch-1.1`: networks/ccnet.py, with InPlaceABN."""

from __future__ import annotations

from families.architecture import (
    FLOAT32_EPSILON,
    Architecture,
    Family,
    LayerKind,
    Preprocessing,
    PublishedFigure,
    Rule,
)

ARCHITECTURE = Architecture(
    stem_widths=(64, 64, 128),
    pool_ceil_mode=True,
    average_pool_shortcut=False,
    contracted_dilation=False,
    norm_epsilon=FLOAT32_EPSILON,
    head_activation="leaky_relu",
    fuse_activation="leaky_relu",
    fuse_conv_bias=False,
    auxiliary_activation="leaky_relu",
    auxiliary_conv_bias=True,
    auxiliary_width=512,
)

PREPROCESSING = Preprocessing(
    channel_order="BGR",
    mean=(104.00698793, 116.66876762, 122.67891434),
    deviation=(1.0, 1.0, 1.0),
    align_corners=True,
)


def backbone_rules(norm: LayerKind) -> tuple[Rule, ...]:
    """Key table of the dilated ResNet in networks/ccnet.py; `norm` is what its BatchNorm2d name is bound to."""
    block, target = "layer{stage}.{block}", "backbone.stage{stage}.{block}"
    return (
        Rule("conv1", "backbone.stem.0.conv", "conv"),
        Rule("bn1", "backbone.stem.0.norm", norm),
        Rule("conv2", "backbone.stem.1.conv", "conv"),
        Rule("bn2", "backbone.stem.1.norm", norm),
        Rule("conv3", "backbone.stem.2.conv", "conv"),
        Rule("bn3", "backbone.stem.2.norm", norm),
        Rule(f"{block}.conv1", f"{target}.reduce.conv", "conv"),
        Rule(f"{block}.bn1", f"{target}.reduce.norm", norm),
        Rule(f"{block}.conv2", f"{target}.spatial.conv", "conv"),
        Rule(f"{block}.bn2", f"{target}.spatial.norm", norm),
        Rule(f"{block}.conv3", f"{target}.expand.conv", "conv"),
        Rule(f"{block}.bn3", f"{target}.expand.norm", norm),
        Rule(f"{block}.downsample.0", f"{target}.shortcut.conv", "conv"),
        Rule(f"{block}.downsample.1", f"{target}.shortcut.norm", norm),
    )


def head_rules(norm: LayerKind, *, classifier: int) -> tuple[Rule, ...]:
    """Key table of the two heads; `classifier` is the index of the last convolution in both Sequentials."""
    return (
        Rule("head.conva.0", "head.reduce.conv", "conv"),
        Rule("head.conva.1", "head.reduce.norm", norm),
        Rule("head.cca.gamma", "head.attention.gamma", "scale"),
        Rule("head.cca.query_conv", "head.attention.query", "conv"),
        Rule("head.cca.key_conv", "head.attention.key", "conv"),
        Rule("head.cca.value_conv", "head.attention.value", "conv"),
        Rule("head.convb.0", "head.refine.conv", "conv"),
        Rule("head.convb.1", "head.refine.norm", norm),
        Rule("head.bottleneck.0", "head.fuse.conv", "conv"),
        Rule("head.bottleneck.1", "head.fuse.norm", norm),
        Rule(f"head.bottleneck.{classifier}", "head.classifier", "conv"),
        Rule("dsn.0", "auxiliary_head.fuse.conv", "conv"),
        Rule("dsn.1", "auxiliary_head.fuse.norm", norm),
        Rule(f"dsn.{classifier}", "auxiliary_head.classifier", "conv"),
    )


FAMILY = Family(
    name="official",
    description="the authors' CCNet with InPlaceABN (speedinghzl/CCNet)",
    architecture=ARCHITECTURE,
    rules=backbone_rules("abn") + head_rules("abn", classifier=3),
    preprocessing=PREPROCESSING,
    published=(
        PublishedFigure(label="R=1", recurrence=1, miou=77.91, source="speedinghzl/CCNet README"),
        PublishedFigure(label="R=2", recurrence=2, miou=79.74, source="speedinghzl/CCNet README"),
        PublishedFigure(label="R=2 + OHEM", recurrence=2, miou=80.00, source="speedinghzl/CCNet README"),
    ),
)
