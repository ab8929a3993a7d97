"""The axes that a layer's tensors have, where the two sides arrange them otherwise.

A layer that makes of each position its own (a Linear, a LayerNorm over the last axis, a convolution of one pixel) is
the same function of (N, H, W, C), (N, H·W, C), (N·H·W, C) and, with the channels second, (N, C, H, W); a norm over all
positions is one of (N, C, H, W) and (N, C, H·W).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from parity.engine.boundaries import Boundaries
from parity.engine.events import is_floating
from parity.engine.stream import Event
from parity.networks.modules import WHOLE, ModuleInfo, is_users_own
from parity.pairing.propose import role_of
from parity.verdicts.comparison import compare

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


class Layouts:
    """How the port's layers arrange their tensors: as it declares, or as each is seen to.

    lay_out(expected, actual, event)  # `expected` with the axes that `actual` has
    """

    def __init__(self, modules: Mapping[str, ModuleInfo], boundaries: Boundaries, *, channels_last: bool) -> None:
        self._modules, self._boundaries, self._channels_last = modules, boundaries, channels_last
        self._ways: dict[str, Way] = {}
        """By the path of a layer whose positions have other axes than the reference's."""

    def kind(self, event: Event) -> str:
        """Of the port's module that an event's counterpart is; empty if there is none."""
        path = self._port_of(event)
        return self._modules[path].kind if path else ""

    def lay_out(self, expected: Any, actual: Any, event: Event) -> Any:
        """`expected` as (N, H, W, C) where the port declares that layout and `actual` has it.

        Of a recurrent layer or an attention, with the batch before the steps or after, as `actual` has it; of a layer
        that makes of each position its own, with the axes that `actual` has.
        """
        shape, own = tuple(actual.shape), tuple(expected.shape)
        if self._is_sequence(event) and expected.ndim == 3:
            return expected.swapaxes(0, 1) if (own[1], own[0], own[2]) == shape != own else expected
        if self._channels_last and expected.ndim == 4 and shape != own:
            transposed = expected.swapaxes(1, 3).swapaxes(1, 2)
            if tuple(transposed.shape) == shape:
                return transposed
        path = self._port_of(event)
        if path not in self._ways and (shape == own or not self.arrange(expected, actual, event)):
            return expected  # else as the layer was given its input; of another shape, as it is equal to `actual`
        return dict(arrange(expected, shape, channel_axes(self._modules[path]))).get(self._ways[path], expected)

    def arrange(self, expected: Any, actual: Any, event: Event) -> bool:
        """Note how the port's layer arranges its axes, if that is new, and `actual` is `expected` in another way."""
        path = self._port_of(event)
        if not path or path in self._ways or not is_floating(expected):
            return False
        ways = arrange(expected, tuple(actual.shape), channel_axes(self._modules[path]))
        way = next((way for way, made in ways if compare(actual, made, constant=True)), None)
        if way is not None:
            self._ways[path] = way
        return way is not None

    def _port_of(self, event: Event) -> str:
        return self._boundaries.port_of(event.key.path) or ""

    def _is_sequence(self, event: Event) -> bool:
        """Whether an event is of a layer that either framework may give (N, L, E) or (L, N, E): one, or a unit."""
        path = self._boundaries.port_of(event.key.path)
        is_unit = path in self._boundaries.exits and path not in self._boundaries.entries
        return is_unit or self.kind(event) in WHOLE
