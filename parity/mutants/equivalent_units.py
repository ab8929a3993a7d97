"""Other units: one layer for what the twin does in several, other classes of a layer, PaddleSeg's convention."""

from __future__ import annotations

from typing import Any

from models_paddle import paddle
from parity.mutants import units
from parity.mutants.mutant import Mutant, Port, mutant

EQUIVALENTS: list[Mutant] = []


@mutant(EQUIVALENTS)
def in_place_abn(port: Port) -> None:
    """Every norm with its activation is one layer, a BatchNorm2D whose forward pass ends in the activation."""
    units.fuse_activations(port, units.make_abn)


@mutant(EQUIVALENTS)
def conv_norm_activation_in_one(port: Port) -> None:
    """Every convolution with its norm and activation is one layer, with the parameters of all under its own names."""
    units.fuse_blocks(port)


@mutant(EQUIVALENTS)
def norm_with_act(port: Port) -> None:
    """The backbone's norms are `paddle.nn.BatchNorm(act="relu")`, as in `paddle.vision`'s DenseNet."""
    units.fuse_activations(port, units.make_norm_with_act, "backbone.*")


@mutant(EQUIVALENTS)
def synchronised_norms(port: Port) -> None:
    """Every norm is a SyncBatchNorm."""
    units.synchronise(port)


@mutant(EQUIVALENTS)
def renamed_linear(port: Port) -> None:
    """The classifier is a Linear layer of another name; Paddle keeps its weight (in, out)."""
    units.classify_by_linear(port, units.make_linear)


@mutant(EQUIVALENTS)
def torchs_linear(port: Port) -> None:
    """The same by a class that keeps torch's (out, in), as `paddle.compat.nn.Linear` does."""
    units.classify_by_linear(port, units.TorchLinear)


@mutant(EQUIVALENTS)
def paddlesegs_convention(port: Port) -> None:
    """A list of logits, resized to the images in the network; the auxiliary head in training only."""
    units.follow_paddleseg(port)


@mutant(EQUIVALENTS)
def resized_without_aligned_corners(port: Port) -> None:
    """The same, with `align_corners=False`."""

    def finish(logits: Any, images: Any) -> Any:
        return paddle.nn.functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)

    units.follow_paddleseg(port, finish)


@mutant(EQUIVALENTS)
def line_by_line(port: Port) -> None:
    """The official code line by line: InPlaceABN as one layer, the attention's transposes and batched products."""
    units.translate(port)
