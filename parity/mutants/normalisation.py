"""Mistakes in BatchNorm and in the folding of InPlaceABN into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.operations import FOLD_EPSILON
from models_paddle import paddle
from parity.mutants.mutant import Array, Mutant, Port, mutant

MUTANTS: list[Mutant] = []
ALL = "*.norm"
ONE = "backbone.stage3.1.spatial.norm"
functional = paddle.nn.functional


@mutant(MUTANTS, ONE, cause="epsilon")
def epsilon_of_1_001e_5(port: Port) -> None:
    """One norm's epsilon is off by a thousandth."""
    _set_epsilon(port[ONE], 1.001e-5)


@mutant(MUTANTS, ALL, cause="epsilon")
def epsilon_of_1e_3(port: Port) -> None:
    """Keras's default epsilon in every norm."""
    for norm in port.matching(ALL).values():
        _set_epsilon(norm, 1e-3)


@mutant(MUTANTS, ALL, cause="scale without epsilon")
def scale_without_epsilon(port: Port) -> None:
    """InPlaceABN's scale becomes |weight|, without the epsilon that it adds."""
    _set_scales(port, np.abs)


@mutant(MUTANTS, ALL, cause=("scale with its sign", "scale without epsilon"))
def scale_not_folded(port: Port) -> None:
    """InPlaceABN's signed scale is copied as it is."""
    _set_scales(port, lambda weight: weight)


@mutant(MUTANTS, ALL, cause="scale epsilon added")
def scale_folded_twice(port: Port) -> None:
    """A folded scale is folded again, which adds epsilon twice."""
    _set_scales(port, lambda weight: np.abs(weight) + 2 * FOLD_EPSILON)


@mutant(MUTANTS, ONE, cause="not loaded")
def scale_and_shift_lost(port: Port) -> None:
    """One norm was built without its affine parameters."""
    port[ONE].weight.set_value(paddle.ones_like(port[ONE].weight))
    port[ONE].bias.set_value(paddle.zeros_like(port[ONE].bias))


@mutant(MUTANTS, ONE, cause="another layer's tensor")
def mean_and_variance_swapped(port: Port) -> None:
    """One norm's running statistics are exchanged."""
    norm = port[ONE]
    mean, variance = norm._mean.clone(), norm._variance.clone()
    norm._mean.set_value(variance)
    norm._variance.set_value(mean)


@mutant(MUTANTS, ALL, cause="not loaded")
def statistics_not_loaded(port: Port) -> None:
    """Only parameters were converted: running statistics are still 0 and 1."""
    for norm in port.matching(ALL).values():
        norm._mean.set_value(paddle.zeros_like(norm._mean))
        norm._variance.set_value(paddle.ones_like(norm._variance))


@mutant(MUTANTS, ALL, cause="batch statistics")
def batch_statistics_in_evaluation(port: Port) -> None:
    """Running statistics are ignored: every norm uses its batch's."""
    for norm in port.matching(ALL).values():
        norm.forward = _with_batch_statistics(norm)


@mutant(MUTANTS, ONE, cause="instance statistics")
def instance_statistics(port: Port) -> None:
    """One BatchNorm became an InstanceNorm."""
    norm = port[ONE]
    norm.forward = lambda features: functional.instance_norm(features, weight=norm.weight, bias=norm.bias)


@mutant(MUTANTS, ALL, cause="momentum")
def momentum_not_inverted(port: Port) -> None:
    """torch's momentum of 0.1 is given to Paddle, where it is the share of the old statistics."""
    for norm in port.matching(ALL).values():
        norm._momentum = 0.1


@mutant(MUTANTS, "backbone.stage2.0.shortcut", cause="norm missing")
def shortcut_without_norm(port: Port) -> None:
    """One shortcut is its convolution alone."""
    shortcut = port["backbone.stage2.0.shortcut"]
    shortcut.forward = lambda features: shortcut.conv(features)


@mutant(MUTANTS, "head.refine", cause="activation added")
def norm_after_activation(port: Port) -> None:
    """In one block the activation comes before the norm."""
    refine = port["head.refine"]
    refine.forward = lambda features: refine.norm(refine.activation(refine.conv(features)))


def _set_epsilon(norm: Any, epsilon: float) -> None:
    # The twin's own, for float64, and Paddle's.
    norm._epsilon = epsilon


def _set_scales(port: Port, fold: Callable[[Array], Array]) -> None:
    for path, norm in port.matching(ALL).items():
        norm.weight.set_value(fold(port.source[f"{path}.weight"].astype(np.float64)).astype(np.float32))


def _with_batch_statistics(norm: Any) -> Callable[[Any], Any]:
    def forward(features: Any) -> Any:
        return functional.batch_norm(
            features, norm._mean, norm._variance, norm.weight, norm.bias, training=True, epsilon=norm._epsilon
        )

    return forward
