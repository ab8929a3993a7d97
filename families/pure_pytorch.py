"""Serge-weihao/CCNet-Pure-Pytorch: networks/ccnet.py, the official layout with plain BatchNorm and ReLU."""

from __future__ import annotations

from dataclasses import replace

from families.architecture import Family
from families.official import ARCHITECTURE, PREPROCESSING, backbone_rules, head_rules

FAMILY = Family(
    name="pure_pytorch",
    description="CCNet in plain PyTorch, BatchNorm and ReLU (Serge-weihao/CCNet-Pure-Pytorch)",
    architecture=replace(
        ARCHITECTURE,
        norm_epsilon=1e-5,
        head_activation="relu",
        fuse_activation="relu",
        auxiliary_activation="relu",
    ),
    rules=backbone_rules("norm") + head_rules("norm", classifier=4),
    preprocessing=PREPROCESSING,
)
