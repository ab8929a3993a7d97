"""What the port gave where it failed, kept for those who ask why."""

from __future__ import annotations

import math
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field

from parity.engine.boundaries import Boundaries, Failure
from parity.engine.stream import Key
from parity.verdicts.report import Layer
from twins.lazy import Tensor

MOST_KEPT = 1 << 26
"""Elements of all tensors that are kept, half a gigabyte in float64."""


MOST_CALLS = 2
"""Calls of one layer by one caller that are kept."""


@dataclass(frozen=True)
class Fault:
    """A comparison that failed, isolated in float64: which of the reference's tensors it was of, and all the port's.

    `called` are the port's layers that it had called until then.
    """

    layer: Layer
    key: Key
    tensors: tuple[Tensor, ...]
    called: frozenset[str] = frozenset()


@dataclass
class Witness:
    """Keeps `faults`, by the failure that each is and which of the reference's tensors it is of.

    Where a caller calls a layer several times, the first two that fail are kept.

    `held` are, by input, the reference's modules whose outputs the port's layers gave in place of their own.
    """

    faults: dict[tuple[Failure, Key], Fault] = field(default_factory=dict)
    held: dict[str, frozenset[str]] = field(default_factory=dict)
    _left: int = MOST_KEPT

    def keep(self, layer: Layer, key: Key, tensors: list[Tensor], called: Collection[str] = ()) -> None:
        """Keep copies, while there is room."""
        what = Failure(layer.path, layer.call, layer.site, layer.input)
        size = sum(math.prod(tensor.shape) for tensor in tensors)
        known = [other for failure, other in self.faults if failure == what]
        if key not in known and len(known) < MOST_CALLS and size <= self._left:
            self._left -= size
            self.faults[what, key] = Fault(layer, key, tuple(map(deepcopy, tensors)), frozenset(called))

    def note_held(self, name: str, boundaries: Boundaries, calls: Collection[str]) -> None:
        """Note what was replaced on the input `name`, where the port called the layers in `calls`."""
        elsewhere = {call.path for call in boundaries.found}
        own = {path for target, path in boundaries.exits.items() if target in calls and target not in elsewhere}
        own |= {
            key.path for call, key in boundaries.found.items() if key and key.kind == "output" and call.path in calls
        }
        self.held[name] = frozenset(own - {""})
