"""The port's tensors in a layer that are not the reference's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from parity.causes.tensors import Weight
from parity.networks.modules import ModuleInfo
from parity.pairing.match import WeightMatch
from parity.pairing.tensors import Slot
from parity.verdicts.report import Layer


@dataclass(frozen=True)
class DifferingWeights:
    """Finds them. `exact` is the float64 reference, `ours` its modules, `theirs` the port's."""

    exact: nn.Module
    matched: WeightMatch
    ours: Mapping[str, ModuleInfo]
    theirs: Mapping[str, ModuleInfo]

    def find(self, layer: Layer, held: Collection[str]) -> list[Weight]:
        """Those inside a guilty layer, short of the layers that are `held` at the reference's outputs."""
        inside = layer.path
        found = []
        for (path, name), (target, own) in self._inside(inside, layer.port):
            if path != inside and path in held:
                continue
            expected, actual = self.ours[path].tensors[name], self.theirs[target].tensors[own]
            if _squeezed(actual) == _squeezed(expected):
                actual = actual.reshape(expected.shape)  # as of a Linear in the place of a 1 x 1 convolution
            parameter = _tensor_at(self.exact, path, name)
            if actual.shape == tuple(parameter.shape):
                label = ".".join(filter(None, (path, name)))
                found.append(Weight(label, parameter, expected, actual, self._others(path, name, actual.shape)))
        return found

    def _inside(self, inside: str, port: str) -> Iterator[tuple[Slot, Slot]]:
        """Tensors of the reference inside a module that differ, or have no counterpart but one of their shape."""
        known, taken = set(), set()
        for match in self.matched.matches:
            known.add(match.reference)
            taken.add(match.port)
            if not match.operation and is_inside(match.reference[0], inside):
                yield match.reference, match.port
        alone = [slot for slot in _slots(self.ours, inside) if slot not in known]
        free = [slot for slot in _slots(self.theirs, port) if slot not in taken]
        for slot in alone:
            shape = _squeezed(self.ours[slot[0]].tensors[slot[1]])
            alike = [one for one in free if _squeezed(self.theirs[one[0]].tensors[one[1]]) == shape]
            rivals = [one for one in alone if _squeezed(self.ours[one[0]].tensors[one[1]]) == shape]
            if shape and len(alike) == len(rivals) == 1 and not self._are_equal(slot, alike[0]):
                yield slot, alike[0]

    def _are_equal(self, slot: Slot, own: Slot) -> bool:
        expected, actual = self.ours[slot[0]].tensors[slot[1]], self.theirs[own[0]].tensors[own[1]]
        return np.array_equal(expected.ravel(), actual.ravel())

    def _others(self, path: str, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """The reference's other tensors of a shape, by label."""
        return {
            ".".join(filter(None, (where, other))): value
            for where, info in self.ours.items()
            for other, value in info.tensors.items()
            if value.shape == shape and (where, other) != (path, name)
        }


def _slots(modules: Mapping[str, ModuleInfo], inside: str) -> list[Slot]:
    return [(path, name) for path, info in modules.items() if is_inside(path, inside) for name in info.tensors]


def _squeezed(array: Any) -> list[int]:
    return [size for size in array.shape if size > 1]


def is_inside(path: str, around: str) -> bool:
    """Whether a module is another, or in it."""
    return not around or path == around or path.startswith(f"{around}.")


def _tensor_at(model: nn.Module, path: str, name: str) -> Tensor:
    holder: Any = model.get_submodule(path)
    for part in name.split("."):
        holder = getattr(holder, part)
    return holder
