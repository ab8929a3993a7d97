"""Mistakes in the weights that the port was given."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_paddle import paddle
from parity.mutants.mutant import Mutant, Port, mutant

MUTANTS: list[Mutant] = []
ONE = "backbone.stage3.1.spatial.conv"
VALUE = "head.attention.value"
CONVOLUTIONS = ("*.conv", "*.query", "*.key", "*.value", "*.classifier")


@mutant(MUTANTS, VALUE, cause="weight transposed")
def square_kernel_transposed(port: Port) -> None:
    """A 1 × 1 kernel with as many inputs as outputs is transposed, as a Linear's weight would be."""
    weight = port[VALUE].weight
    weight.set_value(weight.numpy().transpose([1, 0, 2, 3]))


@mutant(MUTANTS, ONE, cause="weight flipped in height and width")
def kernel_flipped(port: Port) -> None:
    """A 3 × 3 kernel is flipped: convolution for cross-correlation."""
    port[ONE].weight.set_value(port[ONE].weight.flip([2, 3]))


@mutant(MUTANTS, ONE, cause="weight transposed in height and width")
def kernel_height_and_width_swapped(port: Port) -> None:
    """A 3 × 3 kernel is transposed in space."""
    port[ONE].weight.set_value(port[ONE].weight.numpy().transpose([0, 1, 3, 2]))


@mutant(MUTANTS, "backbone.stem.0.conv", cause="weight with its input channels in the opposite order")
def stem_kernel_reversed(port: Port) -> None:
    """The first kernel's input channels are reversed, for pictures that are BGR already."""
    weight = port["backbone.stem.0.conv"].weight
    weight.set_value(weight.flip([1]))


@mutant(MUTANTS, ONE, cause="weight differs")
def one_weight_off(port: Port) -> None:
    """A single weight is off by 1e-4 of itself."""
    values = port[ONE].weight.numpy()
    values.flat[7] *= 1 + 1e-4
    port[ONE].weight.set_value(values)


@mutant(MUTANTS, ONE, cause="channels in another order")
def two_channels_swapped(port: Port) -> None:
    """Two output channels of one kernel are exchanged."""
    values = port[ONE].weight.numpy()
    values[[0, 1]] = values[[1, 0]]
    port[ONE].weight.set_value(values)


@mutant(MUTANTS, "backbone.stage4.0.spatial.conv", "backbone.stage4.1.spatial.conv", cause="another layer's tensor")
def two_blocks_swapped(port: Port) -> None:
    """Two blocks have each other's kernel, of the same shape."""
    _swap(port["backbone.stage4.0.spatial.conv"].weight, port["backbone.stage4.1.spatial.conv"].weight)


@mutant(MUTANTS, "head.attention.query", "head.attention.key", cause="another layer's tensor")
def query_and_key_weights_swapped(port: Port) -> None:
    """The query's weights are loaded into the key and the other way round."""
    query, key = port["head.attention.query"], port["head.attention.key"]
    _swap(query.weight, key.weight)
    _swap(query.bias, key.bias)


@mutant(MUTANTS, *CONVOLUTIONS, cause="rounded to float16")
def half_precision_checkpoint(port: Port) -> None:
    """Convolution weights were saved as float16."""
    for glob in CONVOLUTIONS:
        for conv in port.matching(glob).values():
            conv.weight.set_value(conv.weight.numpy().astype(np.float16).astype(np.float32))


@mutant(MUTANTS, "auxiliary_head.classifier", cause="not loaded")
def classifier_not_loaded(port: Port) -> None:
    """A key did not match, loading warned, and one layer has its initial weights."""
    weight = port["auxiliary_head.classifier"].weight
    weight.set_value(np.random.default_rng(0).standard_normal(weight.shape).astype(np.float32) * np.float32(0.05))


@mutant(MUTANTS, "head.classifier", cause="channels in another order")
def classes_reordered(port: Port) -> None:
    """The classes are in another order."""
    classifier = port["head.classifier"]
    for tensor in (classifier.weight, classifier.bias):
        tensor.set_value(paddle.roll(tensor, 1, 0))


def _swap(left: Any, right: Any) -> None:
    values = left.numpy(), right.numpy()
    left.set_value(values[1])
    right.set_value(values[0])
