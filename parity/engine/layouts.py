"""The axes that a layer's tensors have, where the two sides arrange them otherwise.

A layer that makes of each position its own (a Linear, a LayerNorm over the last axis, a convolution of one pixel) is
the same function of (N, H, W, C), (N, H·W, C), (N·H·W, C) and, with the channels second, (N, C, H, W); a norm over all
positions is one of (N, C, H, W) and (N, C, H·W).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from parity.networks.modules import ModuleInfo, is_users_own
from parity.pairing.propose import role_of

AXES = (-1, 1)
"""Where channels stand."""
POINTWISE = ("activation", "dropout")
Way = tuple[int, int, bool]
"""Axis of the channels as they shall be, as they are, and whether two axes of positions are exchanged."""


def channel_axes(info: ModuleInfo) -> tuple[int, ...]:
    """Where a layer that does not ask for the axes of positions has its channels: both, if it does not say.

    None, of a layer that asks for them.
    """
    weights = [array for name, array in info.tensors.items() if name == "weight"]
    is_layer_norm = any(base.__name__.lower() == "layernorm" for base in type(info.module).__mro__)
    if info.kind == "linear" or (is_layer_norm and all(array.ndim == 1 for array in weights)):
        return AXES if is_users_own(info.module) else (-1,)
    strides = np.unique(getattr(info.module, "_stride", getattr(info.module, "stride", 1)))
    is_one_pixel = all(set(array.shape[2:]) == {1} for array in weights) and bool((strides == 1).all())
    if (info.kind == "conv" and is_one_pixel) or (info.kind == "norm" and not is_layer_norm):
        return (-1 if str(getattr(info.module, "_data_format", "")).endswith("C") else 1,)
    return AXES if role_of(info) in POINTWISE else ()


def arrange(tensor: Any, shape: tuple[int, ...], axes: Sequence[int]) -> Iterator[tuple[Way, Any]]:
    """`tensor`, of any framework, as one of that shape with its channels at one of the `axes`, in each way there is.

    The positions keep their order, or the first two axes of them are exchanged, as steps and batch are.
    """
    if tensor.ndim < 2 or len(shape) < 2:
        return
    for own, axis in product(axes, AXES):
        places = shape[:-1] if own == -1 else (*shape[:1], *shape[2:])
        last = _moved(tensor, axis, -1)
        if last.shape[-1] != shape[own] or math.prod(last.shape[:-1]) != math.prod(places):
            continue
        yield (own, axis, False), _moved(last.reshape(*places, shape[own]), -1, own)
        if len(places) > 1:
            turned = last.reshape(places[1], places[0], *places[2:], shape[own]).swapaxes(0, 1)
            yield (own, axis, True), _moved(turned, -1, own)


def _moved(tensor: Any, source: int, target: int) -> Any:
    return np.moveaxis(tensor, source, target) if isinstance(tensor, np.ndarray) else tensor.movedim(source, target)
