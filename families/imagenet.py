"""The backbone that the official training starts from (`resnet101-imagenet.pth`): plain BatchNorm, no heads.

It was trained with BatchNorm, so its scales are what they are: a conversion does not fold them. The official
training then loads it into InPlaceABN, which reads each scale as |weight| + eps; `--abn-semantics fold`
converts to that reading, the state in which the official training really starts.
"""

from __future__ import annotations

from dataclasses import replace

from families.architecture import Family
from families.official import ARCHITECTURE, PREPROCESSING, backbone_rules

FAMILY = Family(
    name="imagenet",
    description="the official initialiser, a backbone trained on ImageNet (resnet101-imagenet.pth)",
    architecture=replace(ARCHITECTURE, norm_epsilon=1e-5, heads=False),
    rules=backbone_rules("norm"),
    preprocessing=PREPROCESSING,
    unused=("fc",),
    fold_optional=True,
)
