"""open-mmlab/mmsegmentation, configs/ccnet: ResNetV1c backbone, CCHead and FCNHead (mmseg/models)."""

from __future__ import annotations

from families.architecture import Architecture, Family, Preprocessing, PublishedFigure, Rule, Variant

ARCHITECTURE = Architecture(
    stem_widths=(32, 32, 64),
    pool_ceil_mode=False,
    average_pool_shortcut=False,
    contracted_dilation=True,
    norm_epsilon=1e-5,
    head_activation="relu",
    fuse_activation="relu",
    fuse_conv_bias=False,
    auxiliary_activation="relu",
    auxiliary_conv_bias=False,
    auxiliary_width=256,
)

_BLOCK, _TARGET = "backbone.layer{stage}.{block}", "backbone.stage{stage}.{block}"
RULES = (
    Rule("backbone.stem.0", "backbone.stem.0.conv", "conv"),
    Rule("backbone.stem.1", "backbone.stem.0.norm", "norm"),
    Rule("backbone.stem.3", "backbone.stem.1.conv", "conv"),
    Rule("backbone.stem.4", "backbone.stem.1.norm", "norm"),
    Rule("backbone.stem.6", "backbone.stem.2.conv", "conv"),
    Rule("backbone.stem.7", "backbone.stem.2.norm", "norm"),
    Rule(f"{_BLOCK}.conv1", f"{_TARGET}.reduce.conv", "conv"),
    Rule(f"{_BLOCK}.bn1", f"{_TARGET}.reduce.norm", "norm"),
    Rule(f"{_BLOCK}.conv2", f"{_TARGET}.spatial.conv", "conv"),
    Rule(f"{_BLOCK}.bn2", f"{_TARGET}.spatial.norm", "norm"),
    Rule(f"{_BLOCK}.conv3", f"{_TARGET}.expand.conv", "conv"),
    Rule(f"{_BLOCK}.bn3", f"{_TARGET}.expand.norm", "norm"),
    Rule(f"{_BLOCK}.downsample.0", f"{_TARGET}.shortcut.conv", "conv"),
    Rule(f"{_BLOCK}.downsample.1", f"{_TARGET}.shortcut.norm", "norm"),
    Rule("decode_head.convs.0.conv", "head.reduce.conv", "conv"),
    Rule("decode_head.convs.0.bn", "head.reduce.norm", "norm"),
    Rule("decode_head.cca.gamma.scale", "head.attention.gamma", "scalar_scale"),
    Rule("decode_head.cca.query_conv", "head.attention.query", "conv"),
    Rule("decode_head.cca.key_conv", "head.attention.key", "conv"),
    Rule("decode_head.cca.value_conv", "head.attention.value", "conv"),
    Rule("decode_head.convs.1.conv", "head.refine.conv", "conv"),
    Rule("decode_head.convs.1.bn", "head.refine.norm", "norm"),
    Rule("decode_head.conv_cat.conv", "head.fuse.conv", "conv"),
    Rule("decode_head.conv_cat.bn", "head.fuse.norm", "norm"),
    Rule("decode_head.conv_seg", "head.classifier", "conv"),
    Rule("auxiliary_head.convs.0.conv", "auxiliary_head.fuse.conv", "conv"),
    Rule("auxiliary_head.convs.0.bn", "auxiliary_head.fuse.norm", "norm"),
    Rule("auxiliary_head.conv_seg", "auxiliary_head.classifier", "conv"),
)

_DATASETS = {"cityscapes": "Cityscapes val", "ade20k": "ADE20K val", "voc12aug": "Pascal VOC 2012 val"}
_FIGURES = (  # depth, crop, iterations, data, mIoU, mIoU with several scales and flips
    (50, "512x1024", "40k", "cityscapes", 77.76, 78.87),
    (101, "512x1024", "40k", "cityscapes", 76.35, 78.19),
    (50, "769x769", "40k", "cityscapes", 78.46, 79.93),
    (101, "769x769", "40k", "cityscapes", 76.94, 78.62),
    (50, "512x1024", "80k", "cityscapes", 79.03, 80.16),
    (101, "512x1024", "80k", "cityscapes", 78.87, 79.90),
    (50, "769x769", "80k", "cityscapes", 79.29, 81.08),
    (101, "769x769", "80k", "cityscapes", 79.45, 80.66),
    (50, "512x512", "80k", "ade20k", 41.78, 42.98),
    (101, "512x512", "80k", "ade20k", 43.97, 45.13),
    (50, "512x512", "160k", "ade20k", 42.08, 43.13),
    (101, "512x512", "160k", "ade20k", 43.71, 45.04),
    (50, "512x512", "20k", "voc12aug", 76.17, 77.51),
    (101, "512x512", "20k", "voc12aug", 77.27, 79.02),
    (50, "512x512", "40k", "voc12aug", 75.96, 77.04),
    (101, "512x512", "40k", "voc12aug", 77.87, 78.90),
)

FAMILY = Family(
    name="mmseg",
    description="mmsegmentation's CCNet, BatchNorm and ReLU (open-mmlab/mmsegmentation)",
    architecture=ARCHITECTURE,
    rules=RULES,
    preprocessing=Preprocessing(
        channel_order="RGB",
        mean=(123.675, 116.28, 103.53),
        deviation=(58.395, 57.12, 57.375),
        align_corners=False,
    ),
    variants=(Variant(file="769x769", align_corners=True),),
    published=tuple(
        PublishedFigure(
            label=f"R-{depth}-D8, {crop}, {iterations}",
            recurrence=2,
            miou=miou,
            multi_scale=multi_scale,
            dataset=_DATASETS[data],
            source="mmsegmentation configs/ccnet/README.md",
            depth=depth,
            file=f"ccnet_r{depth}-d8_{crop}_{iterations}_{data}",
        )
        for depth, crop, iterations, data, miou, multi_scale in _FIGURES
    ),
)
