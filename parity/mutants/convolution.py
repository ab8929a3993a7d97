"""Mistakes in how a convolution is built."""

from __future__ import annotations

from typing import Any

from models_paddle import paddle
from parity.mutants.mutant import Mutant, Port, mutant

MUTANTS: list[Mutant] = []
nn = paddle.nn


def rebuilt(conv: Any, **settings: Any) -> Any:
    """A convolution with the weights of `conv`, built with other settings where given."""
    built = {
        "stride": conv._stride,
        "padding": conv._padding,
        "dilation": conv._dilation,
        "bias_attr": None if conv.bias is not None else False,
        **settings,
    }
    new = nn.Conv2D(conv._in_channels, conv._out_channels, conv._kernel_size, **built)
    new.weight.set_value(conv.weight)
    if new.bias is not None and conv.bias is not None:
        new.bias.set_value(conv.bias)
    return new


def _rebuild(port: Port, path: str, **settings: Any) -> None:
    port.replace(path, rebuilt(port[path], **settings))


@mutant(MUTANTS, "backbone.stage4.1.spatial.conv", cause="dilation")
def dilation_of_one_block(port: Port) -> None:
    """One block of stage 4 is dilated by 2, not 4."""
    _rebuild(port, "backbone.stage4.1.spatial.conv", dilation=2, padding=2)


@mutant(MUTANTS, "backbone.stage3.0.spatial.conv", "backbone.stage4.0.spatial.conv", cause="dilation")
def contracted_dilation(port: Port) -> None:
    """The first block of stages 3 and 4 is dilated by half, as in mmseg."""
    _rebuild(port, "backbone.stage3.0.spatial.conv", dilation=1, padding=1)
    _rebuild(port, "backbone.stage4.0.spatial.conv", dilation=2, padding=2)


@mutant(MUTANTS, "backbone.stage4.1.spatial.conv", cause="dilation")
def multi_grid(port: Port) -> None:
    """Dilations of stage 4 are multiplied by 1, 2, … block by block."""
    _rebuild(port, "backbone.stage4.1.spatial.conv", dilation=8, padding=8)


@mutant(MUTANTS, "backbone.stage3.1.spatial.conv", cause="padding")
def padding_on_one_side(port: Port) -> None:
    """One dilated convolution is padded at the bottom and right only, and its output keeps its size."""
    _rebuild(port, "backbone.stage3.1.spatial.conv", padding=[0, 4, 0, 4])


@mutant(MUTANTS, "backbone.stem.1.conv", cause="padding")
def padding_forgotten(port: Port) -> None:
    """One convolution of the stem is not padded, and its output shrinks."""
    _rebuild(port, "backbone.stem.1.conv", padding=0)


@mutant(MUTANTS, "backbone.stem.0.conv", cause="padding")
def same_padding(port: Port) -> None:
    """The strided stem is padded "SAME": for even sizes, at the bottom and right only."""
    _rebuild(port, "backbone.stem.0.conv", padding="SAME")


@mutant(MUTANTS, "head.reduce.conv", cause="padding mode")
def replicated_border(port: Port) -> None:
    """One convolution repeats the border instead of padding with zeros."""
    _rebuild(port, "head.reduce.conv", padding_mode="replicate")


@mutant(MUTANTS, "backbone.stage2.0.reduce.conv", "backbone.stage2.0.spatial.conv", cause="stride")
def stride_on_first_convolution(port: Port) -> None:
    """A block strides in its 1 × 1 convolution, as Caffe's ResNet does, not in its 3 × 3."""
    _rebuild(port, "backbone.stage2.0.reduce.conv", stride=2)
    _rebuild(port, "backbone.stage2.0.spatial.conv", stride=1)


@mutant(MUTANTS, "backbone.stage2.0.shortcut", "backbone.stage2.0.shortcut.conv", cause=("pooled before", "stride"))
def average_pool_shortcut(port: Port) -> None:
    """The strided shortcut is a 2 × 2 average pooling and a plain convolution, as in PaddleSeg."""
    _rebuild(port, "backbone.stage2.0.shortcut.conv", stride=1)
    port["backbone.stage2.0.shortcut"].pool = nn.AvgPool2D(2, 2, ceil_mode=True)


@mutant(MUTANTS, "auxiliary_head.fuse.conv", cause="bias missing")
def bias_lost(port: Port) -> None:
    """The auxiliary head's convolution (`dsn.0`) is built without its bias."""
    _rebuild(port, "auxiliary_head.fuse.conv", bias_attr=False)


@mutant(MUTANTS, "head.fuse.conv", cause="bias added")
def bias_added(port: Port) -> None:
    """The head's last 3 × 3 convolution has a bias, as in PaddleSeg, for which there are no weights."""
    _rebuild(port, "head.fuse.conv", bias_attr=paddle.ParamAttr(initializer=nn.initializer.Constant(0.01)))
