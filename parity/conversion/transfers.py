"""Which tensor of a checkpoint becomes which of a port's, and by which operation: seen bit for bit, not assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from converter.operations import OPERATIONS
from parity.networks.modules import ModuleInfo, Place, paddle_modules, torch_modules
from parity.pairing.attention import join_projections
from parity.pairing.match import compare_weights
from parity.pairing.propose import Pairing
from parity.pairing.tensors import sides_of

Array = np.ndarray[Any, Any]
Sources = Mapping[str, str]
"""Name in the reference's state dict -> key in the checkpoint."""
CANDIDATES = ("copy", "transpose", "fold")
"""Operations that may make a port's tensor of a checkpoint's."""


@dataclass(frozen=True)
class Transfer:
    """A tensor's way. `rows` are those of the source that a part of it has, [first, last + 1); None for the whole."""

    source: str
    target: str
    operation: str
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class Exchange:
    """Every tensor of a checkpoint and of a port: what becomes what, and what is left over on either side.

    `constants` are buffers of the reference that a newly built one has as well; `own` are such buffers of the port.
    `lost` and `empty` are tensors without a counterpart, `unlike` pairs that no operation makes equal, `untied` pairs
    that are one tensor on one side and two on the other.
    """

    transfers: tuple[Transfer, ...]
    constants: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    untied: tuple[str, ...] = ()

    def problems(self, source: str) -> dict[str, tuple[str, ...]]:
        """Those lists that stand in the way and are not empty, by what they are; `source` is the file's name."""
        lists = {
            f"of {source} without a counterpart in the port": self.lost,
            "of the port without one in the reference": self.empty,
            "of the port that no operation makes of its counterpart": self.unlike,
            "shared on one side and not on the other": self.untied,
        }
        return {what: names for what, names in lists.items() if names}


def list_transfers(
    reference: nn.Module, port: Any, pairing: Pairing, tensors: Mapping[str, Array], sources: Sources
) -> Exchange:
    """The way of every one of the checkpoint's `tensors` into a port that has the reference's weights by `pairing`."""
    ours = torch_modules(reference)
    theirs = join_projections(ours, paddle_modules(port), pairing)
    found = compare_weights(ours, theirs, pairing)
    keys = _keys_by_place(port)
    slots = {_address(ours[match.reference[0]].places[match.reference[1]][0]): match for match in found.matches}
    transfers, unlike, used, written = [], [], set(), set()
    state = port.state_dict()
    for name, tensor in reference.state_dict().items():
        match, key = slots.get(tensor.data_ptr()), sources.get(name)
        if match is None or key is None or key not in tensors:
            continue
        for place, rows in _parts(theirs[match.port[0]], match.port[1]):
            for target in keys.get(id(place.tensor), ()):
                used.add(key)
                written.add(target)
                operation = find_operation(tensors[key], state[target].numpy(), rows)
                if operation is None:
                    unlike.append(f"{target} from {key}")
                else:
                    transfers.append(Transfer(key, target, operation, rows))
    left = tensors.keys() - used
    constants = tuple(sources[name] for name in _constants(ours) if sources.get(name) in left)
    own = tuple(key for place in _buffers(theirs) for key in keys.get(id(place.tensor), ()) if key not in written)
    return Exchange(
        transfers=tuple(transfers),
        constants=constants,
        own=own,
        lost=tuple(key for key in sources.values() if key in left and key not in constants),
        empty=tuple(key for key in state if key not in written and key not in own),
        unlike=tuple(unlike),
        untied=found.untied,
    )


def find_operation(source: Array, target: Array, rows: tuple[int, int] | None = None) -> str | None:
    """The operation that makes `target`, bit for bit, of the source's tensor or its `rows`; None if none does.

    Ones in its shape may be others: a Linear's (4, 3) is a convolution's (4, 3, 1, 1).
    """
    part = source if rows is None else source[slice(*rows)]
    for name in CANDIDATES:
        if name == "fold" and part.ndim != 1:
            continue
        with np.errstate(over="ignore"):
            made = OPERATIONS[name].apply(part).astype(target.dtype, copy=False)
        if sides_of(made) != sides_of(target):
            continue
        if made.tobytes() == target.tobytes():
            return name
    return None


def _keys_by_place(port: Any) -> dict[int, list[str]]:
    keys: dict[int, list[str]] = {}
    for key, tensor in port.state_dict().items():
        keys.setdefault(id(tensor), []).append(key)
    return keys


def _parts(info: ModuleInfo, name: str) -> Iterator[tuple[Place, tuple[int, int] | None]]:
    places, start = info.places[name], 0
    for place in places:
        size = int(place.tensor.shape[1 if place.transposed else 0]) if len(places) > 1 else 0
        yield place, (start, start + size) if len(places) > 1 else None
        start += size


def _address(place: Place) -> int:
    return int(place.tensor.data_ptr())


def _constants(modules: Mapping[str, ModuleInfo]) -> Iterator[str]:
    """Names of the buffers that are no statistics."""
    for path, info in modules.items():
        yield from (f"{path}.{name}".lstrip(".") for name in info.tensors if _is_constant(info, name))


def _buffers(modules: Mapping[str, ModuleInfo]) -> Iterable[Place]:
    for info in modules.values():
        yield from (place for name in info.tensors if _is_constant(info, name) for place in info.places[name])


def _is_constant(info: ModuleInfo, name: str) -> bool:
    return name not in info.parameters and info.kind != "norm"
