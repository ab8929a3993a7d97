"""PaddlePaddle/PaddleSeg, paddleseg/models/ccnet.py on backbones/resnet_vd.py (ResNet50_vd, ResNet101_vd)."""

from __future__ import annotations

from families.architecture import FLOAT32_EPSILON, Architecture, Family, Preprocessing, PublishedFigure, Rule

ARCHITECTURE = Architecture(
    stem_widths=(32, 32, 64),
    pool_ceil_mode=False,
    average_pool_shortcut=True,
    contracted_dilation=False,
    norm_epsilon=FLOAT32_EPSILON,
    head_activation="leaky_relu",
    fuse_activation="relu",
    fuse_conv_bias=True,
    auxiliary_activation="relu",
    auxiliary_conv_bias=True,
    auxiliary_width=512,
    leaky_slope=0.01,  # Paddle 3 keeps it as a double, Paddle 2 as a float32
    dropout="element",
)


def _layer(source: str, target: str) -> tuple[Rule, Rule]:
    return (
        Rule(f"{source}._conv", f"{target}.conv", "conv"),
        Rule(f"{source}._batch_norm", f"{target}.norm", "paddle_norm"),
    )


_BLOCK, _TARGET = "backbone.bb_{index}_{block}", "backbone.stage{stage}.{block}"
RULES = (
    *_layer("backbone.conv1_1", "backbone.stem.0"),
    *_layer("backbone.conv1_2", "backbone.stem.1"),
    *_layer("backbone.conv1_3", "backbone.stem.2"),
    *_layer(f"{_BLOCK}.conv0", f"{_TARGET}.reduce"),
    *_layer(f"{_BLOCK}.conv1", f"{_TARGET}.spatial"),
    *_layer(f"{_BLOCK}.conv2", f"{_TARGET}.expand"),
    *_layer(f"{_BLOCK}.short", f"{_TARGET}.shortcut"),
    *_layer("head.conva", "head.reduce"),
    Rule("head.cca.gamma", "head.attention.gamma", "scale"),
    Rule("head.cca.q_conv", "head.attention.query", "conv"),
    Rule("head.cca.k_conv", "head.attention.key", "conv"),
    Rule("head.cca.v_conv", "head.attention.value", "conv"),
    *_layer("head.convb", "head.refine"),
    *_layer("head.out.conv_bn_relu", "head.fuse"),
    Rule("head.out.conv", "head.classifier", "conv"),
    *_layer("aux_head.conv_bn_relu", "auxiliary_head.fuse"),
    Rule("aux_head.conv", "auxiliary_head.classifier", "conv"),
)

FAMILY = Family(
    name="paddleseg",
    description="PaddleSeg's CCNet on ResNet_vd, ReLU in its last layer (PaddlePaddle/PaddleSeg)",
    architecture=ARCHITECTURE,
    rules=RULES,
    preprocessing=Preprocessing(
        channel_order="RGB",
        mean=(127.5, 127.5, 127.5),
        deviation=(127.5, 127.5, 127.5),
        align_corners=False,
    ),
    published=(
        PublishedFigure(
            label="ResNet101_OS8, 769x769, 60k",
            recurrence=2,
            miou=80.95,
            multi_scale=81.32,
            source="PaddleSeg configs/ccnet/README.md",
        ),
    ),
    framework="paddle",
)
