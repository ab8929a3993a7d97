"""Which layer of the port is the counterpart of which module of the reference.

By path where both networks have the same ones; by a mapping the user gives; else, and for the few layers that a twin
has under another name, proposed from equal weights, order, kind and shapes. A pair's two modules must be of one kind.
Where one side does in one layer what the other does in several (a convolution that has its BatchNorm's parameters), the
several and the one are a unit. What has no counterpart is compared as part of the module around it, and is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import TypeVar

from parity.errors import ParityInputError
from parity.networks.modules import ModuleInfo
from parity.pairing.attention import find_projections, join_projections
from parity.pairing.tensors import Modules, find_uncovered, sides_of

Value = TypeVar("Value")
MOST_IN_A_UNIT = 4
ROLES = {
    **{part: part for part in ("dropout", "pool", "pad", "upsample", "flatten", "softmax")},
    **dict.fromkeys(("elu", "sigmoid", "tanh", "silu", "swish", "mish"), "activation"),
}
"""Part of the name of a class without parameters -> what such a layer does."""


@dataclass(frozen=True)
class Unit:
    """Layers of the reference and of the port, in order, that do the same together; one side has one."""

    reference: tuple[str, ...]
    port: tuple[str, ...]


@dataclass(frozen=True)
class Pairing:
    """`pairs` maps the reference's path to the port's, the networks themselves ("" to "") included.

    `units` are several layers against one. `unpaired_reference` and `unpaired_port` are leaves without a counterpart.
    `uncovered` are the layers and parameters of which too little is seen (`parity.pairing.tensors`). `origin` says how
    the pairs were found; `ambiguous` lists the reference's paths with several candidates.
    """

    pairs: dict[str, str]
    origin: str
    units: tuple[Unit, ...] = ()
    unpaired_reference: tuple[str, ...] = ()
    unpaired_port: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = field(default=())


def pair_modules(reference: Modules, port: Modules, mapping: Mapping[str, str] | None = None) -> Pairing:
    """Pair two networks' modules.

    `mapping` (reference's path -> port's) decides for the paths it names and for what lies below them
    under equal names; the rest is proposed. Raises ParityInputError if it names a module that does not exist or pairs
    two kinds.
    """
    ambiguous: list[str] = []
    units: tuple[Unit, ...] = ()
    if mapping is not None:
        pairs, origin = _by_mapping(reference, port, mapping), "mapping"
        if any(info.is_leaf and info.tensors and info.path not in pairs for info in reference.values()):
            proposed, units, ambiguous = _proposed(reference, port, pairs)
            rest = {path: target for path, target in proposed.items() if target not in pairs.values()}
            if rest.keys() - pairs.keys():
                pairs, origin = rest | pairs, "mapping, the rest by proposal"
    elif _twins(reference, port):
        pairs = {path: path for path in reference if path in port and _is_namesake(reference[path], port[path])}
        origin = "path"
        inside = _within_namesakes(reference, port, pairs)
        if inside:
            pairs, origin = inside | pairs, "path, the rest by proposal"
        if any(info.is_leaf and info.tensors and info.path not in pairs for info in reference.values()):
            proposed, units, ambiguous = _proposed(_without(reference, pairs), _without(port, pairs))
            if proposed.keys() - pairs.keys():
                pairs, origin = proposed | pairs, "path, the rest by proposal"
    else:
        pairs, units, ambiguous = _proposed(reference, port)
        origin = "proposal"
    pairs = _compatible(pairs, units, reference, port)
    return _described(pairs, units, origin, reference, port, tuple(ambiguous))


def _twins(reference: Modules, port: Modules) -> bool:
    """Whether paths mean the same in both: most leaves with parameters have a namesake of their kind."""
    owning = [info for info in reference.values() if info.is_leaf and info.tensors]
    namesakes = sum(info.path in port for info in owning)
    return 2 * namesakes > len(owning)


def _is_namesake(ours: ModuleInfo, theirs: ModuleInfo) -> bool:
    """Whether two modules of one path are one thing: a layer with parameters is no module that holds layers.

    Nor is a dropout an activation: where a container has a layer less, the numbers of those after it are others.
    """
    roles = {role_of(ours), role_of(theirs)}
    if len(roles) > 1 and "" not in roles:
        return False
    return _may_pair(ours, theirs) and not any(
        info.tensors and info.is_leaf and not other.is_leaf for info, other in ((ours, theirs), (theirs, ours))
    )


def role_of(info: ModuleInfo) -> str:
    """What a layer without parameters does, by its class's name; empty if it does not say."""
    name = type(info.module).__name__.lower()
    return next((role for part, role in ROLES.items() if info.kind == "plain" and part in name), "")


def _within_namesakes(reference: Modules, port: Modules, pairs: Mapping[str, str]) -> dict[str, str]:
    """Pairs of the leaves that have no namesake, inside the containers that have: a container keeps its layers."""
    found: dict[str, str] = {}
    ours, theirs = _by_container(reference, pairs), _by_container(port, {path: path for path in pairs.values()})
    for container, leaves in ours.items():
        others = theirs.get(container, [])
        within = _aligned(leaves, others, {})
        found |= within | _moved(*_left(leaves, others, within))
    return found


def _by_container(modules: Modules, paired: Mapping[str, str]) -> dict[str, list[ModuleInfo]]:
    """Unpaired leaves with parameters, by the innermost paired module around them."""
    found: dict[str, list[ModuleInfo]] = {}
    for info in modules.values():
        if info.is_leaf and _owns_a_layer(info) and info.path not in paired:
            around = info.parent
            while around and around not in paired:
                around = around.rpartition(".")[0]
            found.setdefault(around, []).append(info)
    return {container: leaves for container, leaves in found.items() if container}


def _without(values: Mapping[str, Value], paths: Mapping[str, str]) -> dict[str, Value]:
    return {path: value for path, value in values.items() if path not in paths}


def _by_mapping(reference: Modules, port: Modules, mapping: Mapping[str, str]) -> dict[str, str]:
    for path, modules, side in [
        *((path, reference, "torch") for path in mapping),
        *((path, port, "Paddle") for path in mapping.values()),
    ]:
        if path not in modules:
            raise ParityInputError(f"mapping: the {side} network has no module {path!r}")
    pairs = {"": ""}
    for path in reference:
        ancestor = path
        while ancestor not in mapping and ancestor:
            ancestor = ancestor.rpartition(".")[0]
        if ancestor in mapping:
            target = mapping[ancestor] + path[len(ancestor) :]
            if target in port:
                pairs[path] = target
    for path, target in mapping.items():
        if not _may_pair(reference[path], port[target]):
            raise ParityInputError(
                f"mapping: {path} is a {reference[path].kind} layer, {target} a {port[target].kind} layer"
            )
    return pairs


def _may_pair(ours: ModuleInfo, theirs: ModuleInfo) -> bool:
    """Of one kind, or one of a class of its own that has the same tensors, or one that holds layers.

    A Linear and a convolution of one pixel are one kind.
    """
    kinds = {ours.kind, theirs.kind}
    alike = (
        bool(ours.tensors) and ("plain" in kinds or kinds == {"linear", "conv"}) and _shapes(ours) == _shapes(theirs)
    )
    return len(kinds) == 1 or "composite" in kinds or alike


def _shapes(info: ModuleInfo) -> tuple[tuple[int, ...], ...]:
    """Shapes of the tensors, which a counterpart must share, but for ones in them."""
    return tuple(sorted(sides_of(array) for array in info.tensors.values()))


def _proposed(
    reference: Modules, port: Modules, known: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, str], tuple[Unit, ...], list[str]]:
    ours = [info for info in reference.values() if info.is_leaf]
    theirs = [info for info in port.values() if info.is_leaf]
    leaves, ambiguous = _equal_weights(*_left(ours, theirs, known))
    leaves |= {path: target for path, target in known.items() if reference[path].is_leaf and port[target].is_leaf}
    # Those with parameters first: activations, of which ports have more or fewer, would shift repeated blocks.
    owning = [info for info in ours if _owns_a_layer(info)], [info for info in theirs if _owns_a_layer(info)]
    leaves |= _aligned(*owning, leaves)
    units = _in_units(*_left(*owning, leaves))
    leaves |= _moved(*_left(*owning, leaves, units))
    leaves |= _aligned(ours, theirs, leaves)
    leaves |= _named_alike(_without(leaves, known), reference, port)
    return {"": "", **leaves, **_composites(reference, port, leaves, units)}, units, ambiguous


def _owns_a_layer(info: ModuleInfo) -> bool:
    """Whether a leaf has parameters, more than the one scale that a port may keep anywhere."""
    return any(array.size > 1 for array in info.tensors.values())


def _left(
    ours: Sequence[ModuleInfo], theirs: Sequence[ModuleInfo], leaves: Mapping[str, str], units: Sequence[Unit] = ()
) -> tuple[list[ModuleInfo], list[ModuleInfo]]:
    taken = set(leaves) | {path for unit in units for path in unit.reference}
    targets = set(leaves.values()) | {path for unit in units for path in unit.port}
    return [info for info in ours if info.path not in taken], [info for info in theirs if info.path not in targets]


def _fingerprint(info: ModuleInfo) -> tuple[object, ...]:
    return _shapes(info), frozenset(array.tobytes() for array in info.tensors.values())


def _equal_weights(ours: list[ModuleInfo], theirs: list[ModuleInfo]) -> tuple[dict[str, str], list[str]]:
    candidates: dict[tuple[object, ...], list[ModuleInfo]] = {}
    for info in theirs:
        if info.tensors:
            candidates.setdefault(_fingerprint(info), []).append(info)
    leaves, ambiguous = {}, []
    for info in ours:
        found = candidates.get(_fingerprint(info), []) if info.tensors else []
        fitting = [other.path for other in found if _may_pair(info, other)]
        if len(fitting) == 1:
            leaves[info.path] = fitting[0]
        elif fitting:
            ambiguous.append(info.path)
    doubles = {path for path in leaves.values() if list(leaves.values()).count(path) > 1}
    ambiguous += [path for path, target in leaves.items() if target in doubles]
    return {path: target for path, target in leaves.items() if target not in doubles}, ambiguous


def _aligned(ours: Sequence[ModuleInfo], theirs: Sequence[ModuleInfo], known: Mapping[str, str]) -> dict[str, str]:
    """Pairs of leaves in the gaps between known pairs, where order, kind and shapes agree."""
    taken = {target: path for path, target in known.items()}
    left: list[object] = [info.path if info.path in known else _signature(info) for info in ours]
    right: list[object] = [taken.get(info.path, _signature(info)) for info in theirs]
    found = {}
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for start, other, length in matcher.get_matching_blocks():
        for offset in range(length):
            one, two = ours[start + offset], theirs[other + offset]
            if one.path not in known and two.path not in taken and (not one.tensors or _may_pair(one, two)):
                found[one.path] = two.path
    return found


def _in_units(ours: Sequence[ModuleInfo], theirs: Sequence[ModuleInfo]) -> tuple[Unit, ...]:
    """Neighbours in one module whose tensors, together, are those of one layer of the other side, in order."""
    units: list[Unit] = []
    for whole in theirs:
        run = _run_of(_left(ours, (), {}, units)[0], whole)
        if run:
            units.append(Unit(tuple(info.path for info in run), (whole.path,)))
    for whole in _left(ours, (), {}, units)[0]:
        free = _left((), theirs, {}, units)[1]
        run = find_projections(whole, free) if whole.kind == "attention" else _run_of(free, whole)
        if run:
            units.append(Unit((whole.path,), tuple(info.path for info in run)))
    return tuple(units)


def _run_of(layers: Sequence[ModuleInfo], whole: ModuleInfo) -> Sequence[ModuleInfo]:
    """The first two or more neighbours of one module that have the tensors of `whole` together; none if none have."""
    for start, first in enumerate(layers):
        for count in range(2, MOST_IN_A_UNIT + 1):
            run = layers[start : start + count]
            shapes = sorted(shape for info in run for shape in _shapes(info))
            if len(run) == count and tuple(shapes) == _shapes(whole) and all(i.parent == first.parent for i in run):
                return run
    return ()


def _moved(ours: Sequence[ModuleInfo], theirs: Sequence[ModuleInfo]) -> dict[str, str]:
    """What is left of both that there is as many of, in order: the port registers it in another place."""
    counts = Counter(map(_signature, ours)), Counter(map(_signature, theirs))
    alike = {signature for signature, count in counts[0].items() if counts[1][signature] == count}
    left, right = (
        sorted((i for i in side if _signature(i) in alike), key=lambda info: repr(_signature(info)))
        for side in (ours, theirs)
    )
    return {info.path: other.path for info, other in zip(left, right, strict=True) if _may_pair(info, other)}


def _signature(info: ModuleInfo) -> tuple[object, ...]:
    """What alone must agree: the shapes of the tensors, or the class of a layer that has none."""
    return ("", _shapes(info)) if info.tensors else (type(info.module).__name__.lower().rstrip("123d"), ())


def _named_alike(leaves: Mapping[str, str], reference: Modules, port: Modules) -> dict[str, str]:
    """With layers of one shape in one container, such as a query and a key, exchanged where their names say so.

    Only where the weights do not tell, and the first letters of all names do.
    """
    found = dict(leaves)
    groups: dict[tuple[object, ...], list[str]] = {}
    for path, target in leaves.items():
        info, other = reference[path], port[target]
        if info.tensors and _fingerprint(info) != _fingerprint(other):
            groups.setdefault((info.parent, other.parent, _signature(info)), []).append(path)
    for paths in groups.values():
        targets = {leaves[path].rpartition(".")[2][:1]: leaves[path] for path in paths}
        letters = [path.rpartition(".")[2][:1] for path in paths]
        if len(targets) == len(paths) > 1 and set(letters) == set(targets) and "".join(letters).isalpha():
            found |= {path: targets[letter] for path, letter in zip(paths, letters, strict=True)}
    return found


def _composites(reference: Modules, port: Modules, leaves: Mapping[str, str], units: Sequence[Unit]) -> dict[str, str]:
    """Composites whose leaves with parameters are each other's, all of them; chains from the outside in."""
    ours_names = {path: {path} for path in leaves} | {p: {unit.reference[0]} for unit in units for p in unit.reference}
    theirs_names = {target: {path} for path, target in leaves.items()} | {
        p: {unit.reference[0]} for unit in units for p in unit.port
    }
    ours, theirs = _by_content(reference, ours_names), _by_content(port, theirs_names)
    return {
        path: target
        for content, paths in ours.items()
        for path, target in zip(paths, theirs.get(content, []), strict=False)
        if len(paths) == len(theirs[content]) or path == paths[0]
    }


def _by_content(modules: Modules, names: Mapping[str, set[str]]) -> dict[frozenset[str], list[str]]:
    contents: dict[frozenset[str], list[str]] = {}
    for info in modules.values():
        if info.is_leaf or not info.path:
            continue
        inside = [leaf for leaf in modules.values() if leaf.is_leaf and leaf.path.startswith(info.path + ".")]
        owning = [leaf.path for leaf in inside if leaf.tensors]
        if owning and all(path in names for path in owning):
            content = frozenset(name for path in owning for name in names[path])
            contents.setdefault(content, []).append(info.path)
    return contents


def _compatible(pairs: Mapping[str, str], units: Sequence[Unit], reference: Modules, port: Modules) -> dict[str, str]:
    """Without pairs of two kinds, and without the siblings of a layer with parameters that lost its own.

    A BatchNorm folded into its convolution leaves a convolution with other weights: the two can only
    be compared together.
    """
    kept = {path: target for path, target in pairs.items() if _may_pair(reference[path], port[target])}
    whole = kept.keys() | {path for unit in units for path in unit.reference}
    owning = [info for info in reference.values() if info.is_leaf and info.tensors and info.path]
    orphaned = {info.parent for info in owning if info.path not in whole}
    return {
        path: target
        for path, target in kept.items()
        if not (reference[path].is_leaf and reference[path].tensors and reference[path].parent in orphaned)
        or not reference[path].parent
        or reference[path].parent not in kept
    }


def _described(
    pairs: dict[str, str],
    units: tuple[Unit, ...],
    origin: str,
    reference: Modules,
    port: Modules,
    ambiguous: tuple[str, ...],
) -> Pairing:
    taken = set(pairs) | {path for unit in units for path in unit.reference}
    targets = set(pairs.values()) | {path for unit in units for path in unit.port}
    pairing = Pairing(
        pairs=pairs,
        origin=origin,
        units=units,
        unpaired_reference=tuple(i.path for i in reference.values() if i.is_leaf and i.path not in taken),
        unpaired_port=tuple(i.path for i in port.values() if i.is_leaf and i.path not in targets),
        ambiguous=ambiguous,
    )
    return replace(pairing, uncovered=find_uncovered(reference, join_projections(reference, port, pairing), pairing))
