"""Which tensor of a port is which of the reference's, and which parameters only one of the two has.

A parameter that the reference does not have, such as a scale of one, changes nothing in evaluation, and everything once
it is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from parity.networks.modules import Array, ModuleInfo

if TYPE_CHECKING:
    from parity.pairing.propose import Pairing

Modules = Mapping[str, ModuleInfo]
Slot = tuple[str, str]
"""Path of a module and the name of a tensor of its own."""

ALIKE = (("mean",), ("var",), ("bias", "beta", "shift"), ("weight", "gamma", "scale", "kernel"))
"""Parts of names that mean one thing."""


def match_tensors(reference: Modules, port: Modules, pairing: Pairing) -> dict[Slot, Slot]:
    """The reference's tensors -> the port's: of paired layers, and the parameters of modules that hold layers.

    Those need no paired module: a port may keep the attention's scale in its head, or in the network, and use a layer's
    weight by a function. There the only free one of the same name and shape is taken, else the only one of that shape.
    """
    found: dict[Slot, Slot] = {}
    for path, target in pairing.pairs.items():
        if reference[path].kind == port[target].kind or (reference[path].is_leaf and port[target].is_leaf):
            found |= counterparts(reference, (path,), port, (target,))
    for unit in pairing.units:
        found |= counterparts(reference, unit.reference, port, unit.port)
    paired = {*pairing.pairs, *(path for unit in pairing.units for path in unit.reference)}
    targets = {*pairing.pairs.values(), *(path for unit in pairing.units for path in unit.port)}
    for fits in (_same_shape, _other_way_round, _same_sides):
        for path, name in list(_free(reference, paired, found)):
            expected = reference[path].tensors[name]
            free = [s for s in _free(port, targets, found.values()) if fits(expected, port[s[0]].tensors[s[1]])]
            own = [s for s in free if not (reference[path].is_leaf and port[s[0]].is_leaf)]
            alike = [slot for slot in own if slot[1] == name] or own
            if len(alike) == 1:
                found[path, name] = alike[0]
    return found


def _same_shape(expected: Array, actual: Array) -> bool:
    return expected.shape == actual.shape or expected.size == actual.size == 1


def _same_sides(expected: Array, actual: Array) -> bool:
    return sides_of(expected) == sides_of(actual)


def sides_of(array: Array) -> tuple[int, ...]:
    """The shape but for its ones: a Linear is a convolution of one pixel, a scale (C, 1, 1) one of (C,)."""
    return tuple(side for side in array.shape if side > 1)


def _other_way_round(expected: Array, actual: Array) -> bool:
    return expected.ndim == actual.ndim == 2 and expected.T.shape == actual.shape


def counterparts(reference: Modules, paths: Sequence[str], port: Modules, targets: Sequence[str]) -> dict[Slot, Slot]:
    """The tensors of some of the reference's modules -> those of some of the port's, each at most once.

    Equal names decide, then names that mean one thing, then equal values, then the order; the shape must be the same,
    but for ones in it where the names mean one thing.
    """
    free = [(target, name) for target in targets for name in port[target].tensors]
    found: dict[Slot, Slot] = {}
    for judge in (_has_its_name, _means_the_same, _is_equal, _has_its_shape, _has_its_sides):
        for path in paths:
            for name in reference[path].tensors:
                if (path, name) in found:
                    continue
                fits = _has_its_sides if judge is _has_its_sides else _has_its_shape
                fitting = (s for s in free if fits(reference[path], name, port[s[0]], s[1]))
                slot = next((s for s in fitting if judge(reference[path], name, port[s[0]], s[1])), None)
                if slot is not None:
                    found[path, name] = slot
                    free.remove(slot)
    return {slot: found[slot] for path in paths for name in reference[path].tensors if (slot := (path, name)) in found}


def _is_equal(ours: ModuleInfo, name: str, theirs: ModuleInfo, own: str) -> bool:
    expected, actual = ours.tensors[name], theirs.tensors[own]
    varies = expected.size > 1 and expected.min() != expected.max()
    return bool(varies and expected.tobytes() == actual.tobytes())


def _has_its_name(ours: ModuleInfo, name: str, theirs: ModuleInfo, own: str) -> bool:
    return name == own


def _means_the_same(ours: ModuleInfo, name: str, theirs: ModuleInfo, own: str) -> bool:
    return means_the_same(name, own)


def means_the_same(name: str, other: str) -> bool:
    """Whether two names of tensors say one thing, such as `gamma` and `weight`."""
    return _meaning(name) == _meaning(other) != -1


def _has_its_shape(ours: ModuleInfo, name: str, theirs: ModuleInfo, own: str) -> bool:
    return ours.tensors[name].shape == theirs.tensors[own].shape


def _has_its_sides(ours: ModuleInfo, name: str, theirs: ModuleInfo, own: str) -> bool:
    return means_the_same(name, own) and _same_sides(ours.tensors[name], theirs.tensors[own])


def _meaning(name: str) -> int:
    return next((n for n, parts in enumerate(ALIKE) if any(part in name.lower() for part in parts)), -1)


def find_uncovered(reference: Modules, port: Modules, pairing: Pairing) -> tuple[str, ...]:
    """Layers, and parameters ("path.name"), that have no counterpart and that too little is seen of.

    Where both sides of a paired module smaller than the network have such, it is written in other parameters, as with
    a BatchNorm folded into its convolution: it is compared as a whole.
    """
    matched = match_tensors(reference, port, pairing)
    pairs = pairing.pairs
    ours = _by_module(reference, {path: path for path in pairs}, with_shared(reference, matched))
    theirs = _by_module(port, {target: path for path, target in pairs.items()}, with_shared(port, matched.values()))
    rewritten = ours.keys() & theirs.keys() - {""}
    return tuple(
        name for side in (ours, theirs) for around, names in side.items() if around not in rewritten for name in names
    )


def with_shared(modules: Modules, slots: Collection[Slot]) -> set[Slot]:
    """`slots`, and those of the same memory: an embedding's weight may be a classifier's too."""
    known = {address_of(modules, slot) for slot in slots}
    every = ((path, name) for path, info in modules.items() for name in info.tensors)
    return {slot for slot in every if slot in slots or address_of(modules, slot) in known}


def address_of(modules: Modules, slot: Slot) -> int:
    """Where a tensor is in memory: tensors that share it are one."""
    return int(modules[slot[0]].tensors[slot[1]].__array_interface__["data"][0])


def _free(modules: Modules, paired: Collection[str], taken: Collection[Slot]) -> Iterator[Slot]:
    """Parameters that have no counterpart yet, of modules that hold layers, and of leaves without one."""
    for path, info in modules.items():
        if not info.is_leaf or path not in paired:
            yield from ((path, name) for name in info.tensors if name in info.parameters and (path, name) not in taken)


def _by_module(modules: Modules, paired: Mapping[str, str], matched: Collection[Slot]) -> dict[str, list[str]]:
    """What is unmatched, by the reference's path of the paired module around it, or itself, or else the network."""
    found: dict[str, list[str]] = {}
    for path, info in modules.items():
        left = [name for name in info.tensors if (path, name) not in matched]
        if info.is_leaf and path not in paired:
            names = [path] if left and len(left) == len(info.tensors) else [_label(info, name) for name in left]
        else:
            names = [_label(info, name) for name in left if name in info.parameters]
        if names:
            found.setdefault(paired.get(path, paired.get(info.parent, "")), []).extend(names)
    return found


def _label(info: ModuleInfo, name: str) -> str:
    own = info.places[name][0].attribute if len(info.places[name]) == 1 else name
    return f"{info.path}.{own}" if info.path else own
