"""Rewrites that change how the port computes, and not what: none may raise an alarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models_paddle import paddle
from models_paddle.attention import self_mask
from models_paddle.backbone import Bottleneck
from models_paddle.layers import BatchNorm, ConvNorm
from parity.mutants import criss_cross
from parity.mutants.convolution import rebuilt
from parity.mutants.mutant import Mutant, Port, mutant

EQUIVALENTS: list[Mutant] = []
nn, functional = paddle.nn, paddle.nn.functional


@mutant(EQUIVALENTS)
def mask_on_rows(port: Port) -> None:
    """The row's copy of each pixel is masked instead of the column's."""
    criss_cross.rewrite(port, mask=lambda columns, rows: (columns, rows + self_mask(rows.shape[-1], rows)))


@mutant(EQUIVALENTS)
def large_finite_mask(port: Port) -> None:
    """-1e30 for minus infinity: its exponential is zero too."""

    def mask(columns: Any, rows: Any) -> criss_cross.Pair:
        return columns - 1e30 * paddle.eye(columns.shape[-1], dtype=columns.dtype), rows

    criss_cross.rewrite(port, mask=mask)


@mutant(EQUIVALENTS)
def einsum(port: Port) -> None:
    """Energies and averages by `einsum` instead of transposed matrix products."""

    def energies(query: Any, key: Any) -> criss_cross.Pair:
        columns = paddle.einsum("nkhw,nkiw->nwhi", query, key)
        return columns, paddle.einsum("nkhw,nkhj->nhwj", query, key)

    def gather(value: Any, columns: Any, rows: Any) -> Any:
        return paddle.einsum("nciw,nhwi->nchw", value, columns) + paddle.einsum("nchj,nhwj->nchw", value, rows)

    criss_cross.rewrite(port, energies=energies, gather=gather)


@mutant(EQUIVALENTS)
def official_layout(port: Port) -> None:
    """Columns and rows flattened into the batch, and `bmm`, as in the official code."""

    def energies(query: Any, key: Any) -> criss_cross.Pair:
        batch, width, height, columns = query.shape[0], query.shape[1], query.shape[2], query.shape[3]
        by_column = [x.transpose([0, 3, 1, 2]).reshape([batch * columns, width, height]) for x in (query, key)]
        by_row = [x.transpose([0, 2, 1, 3]).reshape([batch * height, width, columns]) for x in (query, key)]
        vertical = paddle.bmm(by_column[0].transpose([0, 2, 1]), by_column[1])
        horizontal = paddle.bmm(by_row[0].transpose([0, 2, 1]), by_row[1])
        return vertical.reshape([batch, columns, height, height]), horizontal.reshape([batch, height, columns, columns])

    criss_cross.rewrite(port, energies=energies)


@mutant(EQUIVALENTS)
def softmax_written_out(port: Port) -> None:
    """Exponentials less the greatest energy, over their sum, without a concatenation."""

    def weigh(columns: Any, rows: Any) -> criss_cross.Pair:
        columns = columns.transpose([0, 2, 1, 3])
        greatest = paddle.maximum(columns.max(3, keepdim=True), rows.max(3, keepdim=True))
        columns, rows = (columns - greatest).exp(), (rows - greatest).exp()
        total = columns.sum(3, keepdim=True) + rows.sum(3, keepdim=True)
        return columns / total, rows / total

    criss_cross.rewrite(port, weigh=weigh)


@mutant(EQUIVALENTS)
def fused_query_key_value(port: Port) -> None:
    """One convolution computes query, key and value."""
    attention = port["head.attention"]
    parts = [attention.query, attention.key, attention.value]
    widths = [part.weight.shape[0] for part in parts]
    fused = nn.Conv2D(parts[0].weight.shape[1], sum(widths), 1)
    fused.weight.set_value(paddle.concat([part.weight for part in parts]))
    fused.bias.set_value(paddle.concat([part.bias for part in parts]))
    del attention.query, attention.key, attention.value
    attention.projection = fused

    def forward(features: Any) -> Any:
        query, key, value = attention.projection(features).split(widths, 1)
        weights = criss_cross.softmax_jointly(*criss_cross.mask_columns(*criss_cross.energies(query, key)))
        return features + attention.gamma * criss_cross.gather(value, *weights)

    attention.forward = forward


@mutant(EQUIVALENTS)
def linear_for_convolution(port: Port) -> None:
    """Query, key and value are Linear layers on channels-last features."""
    attention = port["head.attention"]
    for name in ("query", "key", "value"):
        conv = getattr(attention, name)
        linear = nn.Linear(conv.weight.shape[1], conv.weight.shape[0])
        linear.weight.set_value(conv.weight.flatten(1).t())
        linear.bias.set_value(conv.bias)
        setattr(attention, name, linear)

    def forward(features: Any) -> Any:
        last = features.transpose([0, 2, 3, 1])
        query, key, value = (layer(last).transpose([0, 3, 1, 2]) for layer in attention.children())
        weights = criss_cross.softmax_jointly(*criss_cross.mask_columns(*criss_cross.energies(query, key)))
        return features + attention.gamma * criss_cross.gather(value, *weights)

    attention.forward = forward


@mutant(EQUIVALENTS)
def unrolled_recurrence(port: Port) -> None:
    """The passes are written one after the other."""
    head = port["head"]

    def forward(features: Any) -> Any:
        attended = head.attention(head.attention(head.reduce(features)))
        return head.classifier(head.dropout(head.fuse(head.concatenate(features, head.refine(attended)))))

    head.forward = forward


@mutant(EQUIVALENTS)
def functional_activations(port: Port) -> None:
    """Functions instead of activation layers."""
    for block in _of_type(port, ConvNorm):
        if block.activation is not None:
            slope = getattr(block.activation, "_negative_slope", 0.0)
            block.activation = None
            block.forward = _activated(block, slope)


@mutant(EQUIVALENTS)
def norms_folded(port: Port) -> None:
    """Every BatchNorm of the backbone is folded into its convolution."""
    for block in _of_type(port, ConvNorm, "backbone.*"):
        norm = block.norm
        weight = norm.weight.astype("float64") / (norm._variance.astype("float64") + norm.epsilon).sqrt()
        conv = rebuilt(block.conv, bias_attr=None).to(dtype="float64")
        conv.weight.set_value(block.conv.weight.astype("float64") * weight.reshape([-1, 1, 1, 1]))
        conv.bias.set_value(norm.bias.astype("float64") - norm._mean.astype("float64") * weight)
        block.conv, block.norm = conv, None
        block.forward = _unnormed(block)


@mutant(EQUIVALENTS)
def paddles_own_norm(port: Port) -> None:
    """Paddle's BatchNorm2D for the twin's, which rounds as torch does in float64."""
    for path, norm in list(port.matching("*.norm").items()):
        own = nn.BatchNorm2D(norm.weight.shape[0], momentum=0.9, epsilon=norm.epsilon)
        own.set_state_dict(norm.state_dict())
        port.replace(path, own)


@mutant(EQUIVALENTS)
def norm_written_out(port: Port) -> None:
    """(x - mean) / sqrt(variance + epsilon) · weight + bias, term by term."""
    for norm in _of_type(port, BatchNorm):
        norm.forward = _term_by_term(norm)


@mutant(EQUIVALENTS)
def explicit_padding(port: Port) -> None:
    """Convolutions are a padding layer and an unpadded convolution."""
    for path, conv in list(port.matching("*.spatial.conv").items()):
        padding = conv._padding if isinstance(conv._padding, int) else conv._padding[0]
        port.replace(path, nn.Sequential(nn.Pad2D(padding), rebuilt(conv, padding=0)))


@mutant(EQUIVALENTS)
def unfolded_convolution(port: Port) -> None:
    """A 3 × 3 convolution as a matrix product with unfolded patches."""
    conv = port["head.refine.conv"]

    def forward(features: Any) -> Any:
        patches = functional.unfold(features, 3, paddings=1)
        product = conv.weight.flatten(1) @ patches
        return product.reshape([*product.shape[:2], *features.shape[2:]])

    conv.forward = forward


@mutant(EQUIVALENTS)
def sum_for_concatenation(port: Port) -> None:
    """The convolution of a concatenation is the sum of two, of its two parts."""
    fuse = port["head.fuse"]
    kernel = fuse.conv.weight
    width = kernel.shape[1] - kernel.shape[0]
    del fuse.conv
    fuse.left, fuse.right = (_convolution_of(part) for part in (kernel[:, :width], kernel[:, width:]))

    def forward(both: Any) -> Any:
        return fuse.activation(fuse.norm(fuse.left(both[:, :width]) + fuse.right(both[:, width:])))

    fuse.forward = forward


@mutant(EQUIVALENTS)
def zero_padded_pooling(port: Port) -> None:
    """Maximum over zeros at the border instead of minus infinity: after a ReLU nothing is smaller."""

    def forward(features: Any) -> Any:
        odd = [1 - size % 2 for size in features.shape[2:]]
        padded = functional.pad(features, [1, 1 + odd[1], 1, 1 + odd[0]])
        return functional.max_pool2d(padded, 3, 2)

    port["backbone.pool"].forward = forward


@mutant(EQUIVALENTS)
def channels_last(port: Port) -> None:
    """Residual blocks of stage 2 are NHWC inside."""
    for block in _of_type(port, ConvNorm, "backbone.stage2.*.spatial"):
        conv = rebuilt(block.conv, data_format="NHWC")
        norm = nn.BatchNorm2D(block.norm.weight.shape[0], momentum=0.9, epsilon=block.norm.epsilon, data_format="NHWC")
        norm.set_state_dict(block.norm.state_dict())
        block.conv, block.norm = conv, norm
        block.forward = _channels_last(block)


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
    for block in _of_type(port, Bottleneck):
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
    for block in _of_type(port, ConvNorm):
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
def dictionary_output(port: Port) -> None:
    """The logits come in a dictionary."""
    forward = port.network.forward
    port.network.forward = lambda images: dict(zip(("out", "auxiliary"), forward(images), strict=True))


@mutant(EQUIVALENTS)
def without_dropout(port: Port) -> None:
    """A port for inference only leaves dropout out."""
    for head in ("head", "auxiliary_head"):
        port.replace(f"{head}.dropout", nn.Identity())


def _of_type(port: Port, kind: type, glob: str = "*") -> list[Any]:
    return [layer for layer in port.matching(glob).values() if isinstance(layer, kind)]


def _renamed(layer: Any, names: dict[str, str]) -> dict[str, Any]:
    """The sublayers under their new names; the old ones still work as attributes, for the forward pass."""
    layer.__dict__.update({name: layer._sub_layers[name] for name in names if name in layer._sub_layers})
    return type(layer._sub_layers)((names.get(name, name), sublayer) for name, sublayer in layer._sub_layers.items())


def _activated(block: Any, slope: float) -> Callable[[Any], Any]:
    return lambda features: functional.leaky_relu(block.norm(block.conv(features)), slope)


def _convolution_of(kernel: Any) -> Any:
    conv = nn.Conv2D(kernel.shape[1], kernel.shape[0], 3, padding=1, bias_attr=False)
    conv.weight.set_value(kernel)
    return conv


def _unnormed(block: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        convolved = block.conv(features)
        return convolved if block.activation is None else block.activation(convolved)

    return forward


def _channels_last(block: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        inside = block.activation(block.norm(block.conv(features.transpose([0, 2, 3, 1]))))
        return inside.transpose([0, 3, 1, 2])

    return forward


def _plain_block(block: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        expanded = block.expand(block.spatial(block.reduce(features)))
        return block.activation(expanded + (features if block.shortcut is None else block.shortcut(features)))

    return forward


def _term_by_term(norm: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        mean, variance, weight, bias = (
            tensor.reshape([1, -1, 1, 1]) for tensor in (norm._mean, norm._variance, norm.weight, norm.bias)
        )
        return (features - mean) / (variance + norm.epsilon).sqrt() * weight + bias

    return forward
