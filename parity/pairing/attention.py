"""An attention that the reference keeps whole and the port in linear layers: as one layer with the whole's tensors.

`nn.MultiheadAttention` has the projections of query, key and value in one tensor. A port by hand has them in four
linear layers, with the output's, or in two or three where some are packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from parity.networks.modules import ModuleInfo, Place
from parity.pairing.tensors import Modules

if TYPE_CHECKING:
    from parity.pairing.propose import Pairing

MOST_LAYERS = 4
"""Query, key, value and output."""
LETTERS = "qkv"


def find_projections(whole: ModuleInfo, layers: Sequence[ModuleInfo]) -> Sequence[ModuleInfo]:
    """The first neighbours of one module, all linear, that have the tensors of the attention `whole`, but for a bias.

    None, if none have.
    """
    for start, first in enumerate(layers):
        for count in range(2, MOST_LAYERS + 1):
            run = layers[start : start + count]
            alike = len(run) == count and all(i.kind == "linear" and i.parent == first.parent for i in run)
            if alike and _join(whole, in_order(run)) is not None:
                return in_order(run)
    return ()


def in_order(run: Sequence[ModuleInfo]) -> Sequence[ModuleInfo]:
    """Query, key, value and output, where the names of four say which is which; else as they are registered."""
    letters = {info.path.rpartition(".")[2][:1].lower(): info for info in run}
    if len(run) == MOST_LAYERS == len(letters) and set(LETTERS) < set(letters):
        (other,) = set(letters) - set(LETTERS)
        return [letters[letter] for letter in (*LETTERS, other)]
    return run


def join_projections(reference: Modules, port: Modules, pairing: Pairing) -> Modules:
    """`port`, with the layers of each such unit as one: the first has all tensors, under the attention's names."""
    joined = dict(port)
    for unit in pairing.units:
        whole, run = reference[unit.reference[0]], [port[path] for path in unit.port]
        together = _join(whole, run) if whole.kind == "attention" and len(unit.reference) == 1 else None
        if together is not None:
            joined |= {info.path: replace(info, tensors={}, places={}) for info in run}
            joined[run[0].path] = together
    return joined


def _join(whole: ModuleInfo, run: Sequence[ModuleInfo]) -> ModuleInfo | None:
    """The first of the run with the tensors of all; None if they are not those of `whole`."""
    *projections, output = run
    places: dict[str, tuple[Place, ...]] = {}
    arrays = {}
    for name, expected in whole.tensors.items():
        leaf = "bias" if name.endswith("bias") else "weight"
        owners = projections if name.startswith("in_proj") else [output]
        if name.endswith("_proj_weight") and name[0] in LETTERS and len(run) == MOST_LAYERS:
            owners = [projections[LETTERS.index(name[0])]]
        if leaf == "bias" and not all(leaf in info.tensors for info in owners):
            continue
        if not all(leaf in info.tensors for info in owners):
            return None
        arrays[name] = np.concatenate([info.tensors[leaf] for info in owners])
        places[name] = tuple(place for info in owners for place in info.places[leaf])
        if arrays[name].shape != expected.shape:
            return None
    return replace(run[0], tensors=arrays, places=places, parameters=frozenset(arrays))
