"""PaddleSeg's CCNet as a port of the official network, and which of its modules is which of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet50_vd, ResNet101_vd

from converter.plan import expected_tensors
from families import DEPTHS, get_family
from models_paddle import paddle

BACKBONES = {50: ResNet50_vd, 101: ResNet101_vd}
DROPOUT = 0.1
"""Of PaddleSeg's published configurations; its class says 0."""
PARTS = {
    "backbone.pool": "backbone.pool2d_max",
    "head": "head",
    "head.reduce": "head.conva",
    "head.reduce.activation": "head.conva._relu.act_func",
    "head.attention": "head.cca",
    "head.refine": "head.convb",
    "head.refine.activation": "head.convb._relu.act_func",
    "head.fuse": "head.out.conv_bn_relu",
    "head.fuse.activation": "head.out.conv_bn_relu._relu.act_func",
    "head.dropout": "head.out.dropout",
    "auxiliary_head": "aux_head",
    "auxiliary_head.fuse": "aux_head.conv_bn_relu",
    "auxiliary_head.fuse.activation": "aux_head.conv_bn_relu._relu.act_func",
    "auxiliary_head.dropout": "aux_head.dropout",
}
"""Modules without tensors of their own: canonical path -> PaddleSeg's."""


class BothHeads(CCNet):
    """PaddleSeg's network as it is, but both heads' logits (N, K, h, w) come before their resize, in evaluation too."""

    def forward(self, images: Any) -> tuple[Any, Any]:
        """Images (N, 3, H, W) -> logits and auxiliary logits (N, K, h, w)."""
        features: Sequence[Any] = self.backbone(images)
        auxiliary, last = (features[index] for index in self.backbone_indices)
        return self.head(last), self.aux_head(auxiliary)


def build(depth: int = 101, *, num_classes: int = 19, recurrence: int = 2) -> BothHeads:
    """The network with fresh weights: `ccnet-parity official.pth --port parity.audit.port:build`."""
    paddle.seed(0)
    backbone = BACKBONES[depth](output_stride=8)
    return BothHeads(num_classes, backbone, recurrence=recurrence, dropout_prob=DROPOUT)


def map_modules(depth: int = 101) -> dict[str, str]:
    """Canonical path -> PaddleSeg's, of every layer with tensors, every block, and the rest by `PARTS`."""
    assignments, _ = expected_tensors(get_family("paddleseg"), depth=depth, num_classes=1)
    layers = {str(item.target).rpartition(".")[0]: item.source.rpartition(".")[0] for item in assignments}
    blocks = {
        f"backbone.stage{stage}.{block}": f"backbone.bb_{stage - 1}_{block}"
        for stage, count in enumerate(DEPTHS[depth].blocks, 1)
        for block in range(count)
    }
    return {**layers, **blocks, **PARTS}
