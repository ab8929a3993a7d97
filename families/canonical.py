"""The canonical tensors of a CCNet: names, shapes and order. Both twins' module trees are held to it."""

from __future__ import annotations

from collections.abc import Iterator

from families.architecture import DEPTHS, Architecture

Shape = tuple[int, ...]
Tensors = Iterator[tuple[str, Shape]]

STAGE_WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
HEAD_WIDTH = 512
QUERY_WIDTH = 64
KERNELS = {"reduce": 1, "spatial": 3, "expand": 1, "shortcut": 1}


def canonical_shapes(architecture: Architecture, *, num_classes: int, depth: int) -> dict[str, Shape]:
    """Name (torch leaf names) -> shape of every tensor of the network, in module order.

    Convolution weights are (out, in, kernel height, kernel width); everything else is (channels,).
    """
    divisor = DEPTHS[depth].width_divisor
    stem = [width // divisor for width in architecture.stem_widths]
    tensors: list[tuple[str, Shape]] = []
    for index, (inputs, outputs) in enumerate(zip([3, *stem[:2]], stem, strict=True)):
        tensors += _conv_norm(f"backbone.stem.{index}", inputs, outputs, 3)
    width = stem[2]
    for stage, (blocks, stage_width) in enumerate(zip(DEPTHS[depth].blocks, STAGE_WIDTHS, strict=True), start=1):
        for block in range(blocks):
            tensors += _block(f"backbone.stage{stage}.{block}", width, stage_width // divisor, shortcut=block == 0)
            width = stage_width // divisor * EXPANSION
    if not architecture.heads:
        return dict(tensors)
    tensors += _head(architecture, width, num_classes, divisor)
    if architecture.auxiliary:
        tensors += _auxiliary_head(architecture, width // 2, num_classes, divisor)
    return dict(tensors)


def _conv(name: str, inputs: int, outputs: int, kernel: int, *, bias: bool) -> Tensors:
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    if bias:
        yield f"{name}.bias", (outputs,)


def _conv_norm(name: str, inputs: int, outputs: int, kernel: int, *, bias: bool = False) -> Tensors:
    yield from _conv(f"{name}.conv", inputs, outputs, kernel, bias=bias)
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.norm.{leaf}", (outputs,)


def _block(name: str, inputs: int, width: int, *, shortcut: bool) -> Tensors:
    outputs = width * EXPANSION
    yield from _conv_norm(f"{name}.reduce", inputs, width, KERNELS["reduce"])
    yield from _conv_norm(f"{name}.spatial", width, width, KERNELS["spatial"])
    yield from _conv_norm(f"{name}.expand", width, outputs, KERNELS["expand"])
    if shortcut:
        yield from _conv_norm(f"{name}.shortcut", inputs, outputs, KERNELS["shortcut"])


def _head(architecture: Architecture, inputs: int, num_classes: int, divisor: int) -> Tensors:
    width = HEAD_WIDTH // divisor
    query_width = QUERY_WIDTH // divisor
    yield from _conv_norm("head.reduce", inputs, width, 3)
    yield "head.attention.gamma", (1,)
    yield from _conv("head.attention.query", width, query_width, 1, bias=True)
    yield from _conv("head.attention.key", width, query_width, 1, bias=True)
    yield from _conv("head.attention.value", width, width, 1, bias=True)
    yield from _conv_norm("head.refine", width, width, 3)
    yield from _conv_norm("head.fuse", inputs + width, width, 3, bias=architecture.fuse_conv_bias)
    yield from _conv("head.classifier", width, num_classes, 1, bias=True)


def _auxiliary_head(architecture: Architecture, inputs: int, num_classes: int, divisor: int) -> Tensors:
    width = architecture.auxiliary_width // divisor
    yield from _conv_norm("auxiliary_head.fuse", inputs, width, 3, bias=architecture.auxiliary_conv_bias)
    yield from _conv("auxiliary_head.classifier", width, num_classes, 1, bias=True)
