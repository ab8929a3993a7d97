"""Other pairings of a port that came without weights, where only the order of its layers said which is which.

A key that is registered before its query has its shape. Names that begin alike decide (`propose`); where they do
not, a port that seems wrong is tried with the layers exchanged before it is accused.

    for other in list_alternatives(reference, port, pairing, accused):
        give_weights(...)  # and compare again
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from parity.pairing.propose import Pairing, pair_modules
from parity.pairing.tensors import Modules

MOST = 4
"""Pairings that are tried."""


def pair_again(reference: Modules, port: Modules) -> Pairing:
    """The pairing that the order of these modules proposes, whatever weights the port was given."""
    blank = {
        path: replace(info, tensors={name: np.zeros_like(array) for name, array in info.tensors.items()})
        for path, info in port.items()
    }
    found = pair_modules(reference, blank)
    return replace(found, origin=f"{found.origin}, in the order of calls")


def list_alternatives(
    reference: Modules, port: Modules, pairing: Pairing, accused: Collection[str]
) -> Iterator[Pairing]:
    """At most MOST pairings with layers of one shape exchanged, inside one module around or beside what is `accused`.

    `accused` are the reference's paths.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    for path, target in pairing.pairs.items():
        info, other = reference[path], port[target]
        if info.is_leaf and any(array.size > 1 for array in info.tensors.values()):
            shapes = tuple(sorted(array.shape for array in info.tensors.values()))
            groups.setdefault((info.parent, other.parent, info.kind, shapes), []).append(path)
    tried = 0
    for paths in groups.values():
        around = reference[paths[0]].parent
        if len(paths) < 2 or not any(_is_near(around, path) for path in accused):
            continue
        targets = [pairing.pairs[path] for path in paths]
        for order in list(permutations(targets))[1:]:
            if tried == MOST:
                return
            tried += 1
            exchanged = dict(zip(paths, order, strict=True))
            yield replace(pairing, pairs=pairing.pairs | exchanged, origin=f"{pairing.origin}, {len(paths)} exchanged")


def _is_near(around: str, accused: str) -> bool:
    """Whether what is accused is the module, in it, or the one around it."""
    return accused == around or accused.startswith(f"{around}.") or accused == around.rpartition(".")[0]
