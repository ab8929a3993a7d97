"""Other ways to name, nest and join the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models_paddle import paddle
from models_paddle.backbone import Bottleneck
from models_paddle.layers import ConvNorm
from parity.mutants.mutant import Mutant, Port, mutant

EQUIVALENTS: list[Mutant] = []
nn, functional = paddle.nn, paddle.nn.functional


@mutant(EQUIVALENTS)
def unrolled_recurrence(port: Port) -> None:
    """The passes are written one after the other."""
    head = port["head"]

    def forward(features: Any) -> Any:
        attended = head.attention(head.attention(head.reduce(features)))
        return head.classifier(head.dropout(head.fuse(head.concatenate(features, head.refine(attended)))))

    head.forward = forward


@mutant(EQUIVALENTS)
def in_place_sums(port: Port) -> None:
    """Residual sums and activations overwrite their input."""
    for path, layer in list(port.matching("backbone.stage*").items()):
        if path.endswith(".residual"):
            layer.forward = lambda left, right: left.add_(right)
        elif path.endswith(".activation"):
            layer.forward = lambda features: functional.relu_(features)


@mutant(EQUIVALENTS)
def plain_sums(port: Port) -> None:
    """Residual sums and the concatenation are code, not layers."""
    for block in port.of_type(Bottleneck):
        del block.residual
        block.forward = _plain_block(block)
    head = port["head"]
    del head.concatenate
    head.concatenate = lambda left, right: paddle.concat([left, right], 1)


@mutant(EQUIVALENTS)
def renamed(port: Port) -> None:
    """The layers have the names of the official code."""
    names = {
        "head.attention": {"query": "query_conv", "key": "key_conv", "value": "value_conv"},
        "head": {"reduce": "conva", "attention": "cca", "refine": "convb", "fuse": "bottleneck"},
        "backbone": {f"stage{stage}": f"layer{stage}" for stage in (1, 2, 3, 4)},
        "": {"auxiliary_head": "dsn", "backbone": "trunk", "head": "decoder"},
    }
    for path, new in names.items():
        layer = port[path]
        layer._sub_layers = _renamed(layer, new)
    for block in port.of_type(ConvNorm):
        block._sub_layers = _renamed(block, {"conv": "0", "norm": "1", "activation": "2"})


@mutant(EQUIVALENTS)
def nested(port: Port) -> None:
    """Stages 1 and 2, and the dilated 3 and 4, stand in containers of their own."""
    backbone = port["backbone"]
    for name, stages in (("strided", ("stage1", "stage2")), ("dilated", ("stage3", "stage4"))):
        container = nn.LayerDict({stage: getattr(backbone, stage) for stage in stages})
        for stage in stages:
            # Still an attribute, for the forward pass, but no sublayer.
            backbone.__dict__[stage] = backbone._sub_layers.pop(stage)
        setattr(backbone, name, container)


@mutant(EQUIVALENTS)
def activations_outside(port: Port) -> None:
    """Convolution and norm stand in a container, the activation in the code around it."""
    for conv_norm in port.of_type(ConvNorm, "backbone.stage*"):
        conv_norm.forward = _without_activation(conv_norm)
    for block in port.of_type(Bottleneck):
        block.forward = _activating_block(block)


@mutant(EQUIVALENTS)
def one_activation_for_a_block(port: Port) -> None:
    """A residual block has one ReLU and calls it three times, as in the official code."""
    for block in port.of_type(Bottleneck):
        block.reduce.activation = block.spatial.activation = block.activation


@mutant(EQUIVALENTS)
def residual_outside_the_attention(port: Port) -> None:
    """The attention returns what is to be added; the head adds it."""
    head, attention = port["head"], port["head.attention"]
    whole = attention.forward
    attention.forward = lambda features: whole(features) - features

    def forward(features: Any) -> Any:
        attended = head.reduce(features)
        for _ in range(head.recurrence):
            attended = attended + head.attention(attended)
        return head.classifier(head.dropout(head.fuse(head.concatenate(features, head.refine(attended)))))

    head.forward = forward


@mutant(EQUIVALENTS)
def dictionary_output(port: Port) -> None:
    """The logits come in a dictionary."""
    forward = port.network.forward
    port.network.forward = lambda images: dict(zip(("out", "auxiliary"), forward(images), strict=True))


@mutant(EQUIVALENTS)
def without_dropout(port: Port) -> None:
    """A port for inference only leaves dropout out."""
    for head in ("head", "auxiliary_head"):
        port.replace(f"{head}.dropout", nn.Identity())


def _without_activation(conv_norm: Any) -> Callable[[Any], Any]:
    return lambda features: conv_norm.norm(conv_norm.conv(features))


def _activating_block(block: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        reduced = functional.relu(block.reduce(features))
        expanded = block.expand(functional.relu(block.spatial(reduced)))
        return block.activation(
            block.residual(expanded, features if block.shortcut is None else block.shortcut(features))
        )

    return forward


def _renamed(layer: Any, names: dict[str, str]) -> dict[str, Any]:
    """The sublayers under their new names; the old ones still work as attributes, for the forward pass."""
    layer.__dict__.update({name: layer._sub_layers[name] for name in names if name in layer._sub_layers})
    return type(layer._sub_layers)((names.get(name, name), sublayer) for name, sublayer in layer._sub_layers.items())


def _plain_block(block: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        expanded = block.expand(block.spatial(block.reduce(features)))
        return block.activation(expanded + (features if block.shortcut is None else block.shortcut(features)))

    return forward
