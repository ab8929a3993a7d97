"""Where a layer ends that both sides draw otherwise: InPlaceABN is normalisation and activation in one.

A layer with parameters is given the reference's input, and its output is not the reference's. Then, before it is
accused, its output is looked for where it may be:

- among what the reference makes of its layer's output, up to the next layer with parameters: the port's does more;
- the reference's output is an activation of the port's: the reference's layer does more, and the port's code after it;
- nowhere. Then it is compared with what it is nearest to, and is wrong.

    reference   norm ── a ── activation ── b ── conv      the port's `bn` gives b: it is compared with b
    port        bn ─────────────────────── b ── conv
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity.causes.recorded import layers
from parity.engine.boundaries import Boundaries, Call
from parity.engine.scalars import Scalars
from parity.engine.stream import Event, Key, Reference, copy_event
from parity.networks.modules import ModuleInfo
from parity.verdicts.comparison import Comparison, compare
from twins.lazy import Tensor, functional, torch
from twins.tensors import TORCH, Exchange, flatten

NEARER = 0.5
"""Of the distance from its own counterpart: a layer that does more, wrongly, is this near to where it should end."""
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": lambda features: functional.relu(features),
    "LeakyReLU 0.01": lambda features: functional.leaky_relu(features, 0.01),
    "LeakyReLU 0.1": lambda features: functional.leaky_relu(features, 0.1),
    "LeakyReLU 0.2": lambda features: functional.leaky_relu(features, 0.2),
    "ReLU6": lambda features: functional.relu6(features),
    "ELU": lambda features: functional.elu(features),
    "GELU": lambda features: functional.gelu(features),
    "SiLU": lambda features: functional.silu(features),
    "Sigmoid": lambda features: torch.sigmoid(features),
    "Tanh": lambda features: torch.tanh(features),
    "Hardswish": lambda features: functional.hardswish(features),
    "Hardsigmoid": lambda features: functional.hardsigmoid(features),
    "Softplus": lambda features: functional.softplus(features),
    "Mish": lambda features: functional.mish(features),
}
"""What a reference's layer may end in."""


@dataclass(frozen=True)
class Found:
    """Where a layer's output was found, or what it is nearest to."""

    event: Event | None
    comparisons: list[Comparison]


@dataclass
class Search:
    """Looks for outputs, in an isolated float64 pass of the `reference`; `ours` are the reference's modules.

    `found` gathers the exits that are elsewhere: the port's call -> the reference's tensors; None where it has none.
    """

    ours: Mapping[str, ModuleInfo]
    theirs: Mapping[str, ModuleInfo]
    boundaries: Boundaries
    scalars: Scalars
    exchange: Exchange = TORCH
    found: dict[Call, Key | None] = field(default_factory=dict)
    _open: list[Event] = field(default_factory=list)
    """Outputs of the reference's layers that the port's code has still to make of its own."""

    def find(
        self, call: Call, inputs: Any, outputs: Any, event: Event, comparison: Comparison, reference: Reference
    ) -> Found | None:
        """Where the output of `call` is; None if it is compared rightly with the `event`, from which it differs."""
        if not self.theirs[call.path].is_leaf or len(event.tensors) != 1:
            return None
        actual = self.exchange.read(flatten(outputs)[0])
        event = copy_event(event)  # what comes may overwrite it
        scalar = self.scalars.explain(event.key.path, self._tensors(inputs), actual, comparison)
        if scalar is not None:
            return Found(event, [scalar])
        if not self.theirs[call.path].tensors:
            return None
        best, nearest = self._nearest(actual, event, comparison, reference)
        if not best and self._does_more(event.key.path, actual, event.tensors[0]):
            self.found[call] = None
            self._open.append(event)
            return Found(None, [])
        if nearest is event:
            return None
        self.found[call] = nearest.key
        return Found(nearest, [best])

    def _nearest(
        self, actual: Tensor, event: Event, comparison: Comparison, reference: Reference
    ) -> tuple[Comparison, Event]:
        """What `actual` is, or is nearest to, among what the reference makes of the `event` that it differs from."""
        best, nearest = comparison, event
        for coming in reference.look_ahead(event, self._begins_a_layer):
            if [tuple(tensor.shape) for tensor in coming.tensors] != [tuple(actual.shape)]:
                continue
            measured = compare(actual, coming.tensors[0])
            if not measured and coming.key.kind == "output":
                again = self.scalars.explain(coming.key.path, list(event.tensors), actual, measured)
                measured = measured if again is None else again
            if measured:
                return measured, coming
            if measured.relative < best.relative * (NEARER if nearest is event else 1):
                best, nearest = measured, coming
        return best, nearest

    def resolve(self, call: Call, outputs: Any) -> None:
        """See whether a layer of the port that has no counterpart ends where the reference's layer did."""
        tensors = flatten(outputs)
        if not self._open or len(tensors) != 1 or not self.theirs[call.path].is_leaf:
            return
        expected = self._open[-1]
        actual = self.exchange.read(tensors[0])
        if tuple(actual.shape) != tuple(expected.tensors[0].shape):
            return
        if compare(actual, expected.tensors[0]):
            self.found[call] = expected.key
            self._open.pop()

    def explain_input(self, actual: Tensor, comparison: Comparison) -> Comparison | None:
        """Whether what a layer is handed is what an open layer of the reference gives, but for a rounded scalar."""
        for event in reversed(self._open[-2:]):
            found = self.scalars.explain_again(event.key.path, actual, comparison)
            if found is not None:
                return found
        return None

    def _tensors(self, inputs: Any) -> list[Tensor]:
        return [self.exchange.read(tensor) for tensor in flatten(inputs)]

    def _begins_a_layer(self, key: Key) -> bool:
        return key.kind == "input" and bool(self.ours[key.path].tensors) and self.ours[key.path].is_leaf

    def _does_more(self, path: str, actual: Tensor, expected: Tensor) -> bool:
        """Whether the reference's output is an activation of the port's."""
        if actual.shape != expected.shape:
            return False
        return any(bool(compare(made, expected)) for made in activated(self.ours[path].module, actual))


def activated(module: Any, features: Any) -> Iterator[Any]:
    if isinstance(features, np.ndarray):
        yield from _activated_arrays(module, features)
        return
    for slope in {value for value in vars(module).values() if isinstance(value, float) and 0 < value < 1}:
        yield functional.leaky_relu(features, slope)
    for activation in ACTIVATIONS.values():
        yield activation(features)


def _activated_arrays(module: Any, features: Any) -> Iterator[Any]:
    """The same of a recording's arrays, where no framework may be there."""
    slopes = {value for value in vars(module).values() if isinstance(value, float) and 0 < value < 1}
    yield from (layers.leaky_relu(features, slope) for slope in slopes)
    yield from (make(features) for make in layers.ACTIVATIONS.values())
