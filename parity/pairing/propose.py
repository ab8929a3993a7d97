"""Which Paddle layer is the counterpart of which torch module.

By path where both networks have the same ones; by a mapping the user gives; else, and for the few layers that a twin
has under another name, proposed from equal weights, order, kind and shapes. A pair's two modules must be of one kind:
what has no counterpart of its own is compared as part of the module around it, and is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from parity.errors import ParityInputError
from parity.networks.modules import ModuleInfo
from parity.pairing.parameters import Modules, find_uncovered


@dataclass(frozen=True)
class Pairing:
    """`pairs` maps torch path to Paddle path, the networks themselves ("" to "") included.

    `unpaired_torch` and `unpaired_paddle` are leaves without a counterpart. `uncovered` are the layers and parameters
    of which too little is seen (`parity.pairing.parameters`). `origin` says how the pairs were found; `ambiguous`
    lists torch paths with several candidates.
    """

    pairs: dict[str, str]
    origin: str
    unpaired_torch: tuple[str, ...] = ()
    unpaired_paddle: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = field(default=())


def pair_modules(torch: Modules, paddle: Modules, mapping: Mapping[str, str] | None = None) -> Pairing:
    """Pair two networks' modules.

    `mapping` (torch path -> Paddle path) decides for the paths it names and for what lies below them
    under equal names. Raises ParityInputError if it names a module that does not exist or pairs two kinds.
    """
    ambiguous: list[str] = []
    if mapping is not None:
        pairs, origin = _by_mapping(torch, paddle, mapping), "mapping"
    elif _twins(torch, paddle):
        pairs, origin = {path: path for path in torch if path in paddle}, "path"
        if any(info.is_leaf and info.tensors and info.path not in paddle for info in torch.values()):
            proposed, ambiguous = _proposed(_without(torch, pairs), _without(paddle, pairs))
            if proposed.keys() - pairs.keys():
                pairs, origin = proposed | pairs, "path, the rest by proposal"
    else:
        pairs, ambiguous = _proposed(torch, paddle)
        origin = "proposal"
    pairs = _compatible(pairs, torch, paddle)
    return _described(pairs, origin, torch, paddle, tuple(ambiguous))


def _twins(torch: Modules, paddle: Modules) -> bool:
    """Whether paths mean the same in both: most leaves with parameters have a namesake of their kind."""
    weighty = [info for info in torch.values() if info.is_leaf and info.tensors]
    namesakes = sum(info.path in paddle for info in weighty)
    return 2 * namesakes > len(weighty)


def _without(modules: Modules, paths: Mapping[str, str]) -> Modules:
    return {path: info for path, info in modules.items() if path not in paths}


def _by_mapping(torch: Modules, paddle: Modules, mapping: Mapping[str, str]) -> dict[str, str]:
    for path, modules, side in [
        *((path, torch, "torch") for path in mapping),
        *((path, paddle, "Paddle") for path in mapping.values()),
    ]:
        if path not in modules:
            raise ParityInputError(f"mapping: the {side} network has no module {path!r}")
    pairs = {"": ""}
    for path in torch:
        ancestor = path
        while ancestor not in mapping and ancestor:
            ancestor = ancestor.rpartition(".")[0]
        if ancestor in mapping:
            target = mapping[ancestor] + path[len(ancestor) :]
            if target in paddle:
                pairs[path] = target
    for path, target in mapping.items():
        if torch[path].kind != paddle[target].kind and "composite" not in (torch[path].kind, paddle[target].kind):
            raise ParityInputError(
                f"mapping: {path} is a {torch[path].kind} layer, {target} a {paddle[target].kind} layer"
            )
    return pairs


def _proposed(torch: Modules, paddle: Modules) -> tuple[dict[str, str], list[str]]:
    ours = [info for info in torch.values() if info.is_leaf]
    theirs = [info for info in paddle.values() if info.is_leaf]
    leaves, ambiguous = _equal_weights(ours, theirs)
    # Those with parameters first: activations, of which ports have more or fewer, would shift repeated blocks.
    weighty = [info for info in ours if info.tensors], [info for info in theirs if info.tensors]
    leaves |= _aligned(*weighty, leaves)
    taken = set(leaves.values())
    left = [info for info in weighty[0] if info.path not in leaves], [i for i in weighty[1] if i.path not in taken]
    leaves |= _moved(*left)
    leaves |= _aligned(ours, theirs, leaves)
    return {"": "", **leaves, **_composites(torch, paddle, leaves)}, ambiguous


def _fingerprint(info: ModuleInfo) -> tuple[object, ...]:
    return info.kind, tuple((name, array.tobytes()) for name, array in sorted(info.tensors.items()))


def _equal_weights(ours: list[ModuleInfo], theirs: list[ModuleInfo]) -> tuple[dict[str, str], list[str]]:
    candidates: dict[tuple[object, ...], list[str]] = {}
    for info in theirs:
        if info.tensors:
            candidates.setdefault(_fingerprint(info), []).append(info.path)
    leaves, ambiguous = {}, []
    for info in ours:
        found = candidates.get(_fingerprint(info), []) if info.tensors else []
        if len(found) == 1:
            leaves[info.path] = found[0]
        elif found:
            ambiguous.append(info.path)
    doubles = {path for path in leaves.values() if list(leaves.values()).count(path) > 1}
    ambiguous += [path for path, target in leaves.items() if target in doubles]
    return {path: target for path, target in leaves.items() if target not in doubles}, ambiguous


def _aligned(ours: list[ModuleInfo], theirs: list[ModuleInfo], known: Mapping[str, str]) -> dict[str, str]:
    """Pairs of leaves in the gaps between known pairs, where order, kind and shapes agree."""
    taken = {target: path for path, target in known.items()}
    left: list[object] = [info.path if info.path in known else _signature(info) for info in ours]
    right: list[object] = [taken.get(info.path, _signature(info)) for info in theirs]
    found = {}
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for start, other, length in matcher.get_matching_blocks():
        for offset in range(length):
            path, target = ours[start + offset].path, theirs[other + offset].path
            if path not in known and target not in taken:
                found[path] = target
    return found


def _moved(ours: list[ModuleInfo], theirs: list[ModuleInfo]) -> dict[str, str]:
    """What is left of both, in order, if it is the same layers: the port registers them in another place."""
    if Counter(map(_signature, ours)) != Counter(map(_signature, theirs)):
        return {}
    left, right = (sorted(side, key=lambda info: repr(_signature(info))) for side in (ours, theirs))
    return {info.path: other.path for info, other in zip(left, right, strict=True)}


def _signature(info: ModuleInfo) -> tuple[object, ...]:
    name = type(info.module).__name__.lower() if info.kind == "plain" else ""
    return info.kind, name, info.shapes


def _composites(torch: Modules, paddle: Modules, leaves: Mapping[str, str]) -> dict[str, str]:
    """Composites whose leaves with parameters are each other's, all of them; chains from the outside in."""
    ours = _by_content(torch, {path: path for path in leaves})
    theirs = _by_content(paddle, {target: path for path, target in leaves.items()})
    return {
        path: target
        for content, paths in ours.items()
        for path, target in zip(paths, theirs.get(content, []), strict=False)
        if len(paths) == len(theirs[content]) or path == paths[0]
    }


def _by_content(modules: Modules, names: Mapping[str, str]) -> dict[frozenset[str], list[str]]:
    contents: dict[frozenset[str], list[str]] = {}
    for info in modules.values():
        if info.is_leaf or not info.path:
            continue
        inside = [leaf for leaf in modules.values() if leaf.is_leaf and leaf.path.startswith(info.path + ".")]
        weighty = [leaf.path for leaf in inside if leaf.tensors]
        if weighty and all(path in names for path in weighty):
            contents.setdefault(frozenset(names[path] for path in weighty), []).append(info.path)
    return contents


def _compatible(pairs: Mapping[str, str], torch: Modules, paddle: Modules) -> dict[str, str]:
    """Without pairs of two kinds, and without the siblings of a layer with parameters that lost its own.

    A BatchNorm folded into its convolution leaves a convolution with other weights: the two can only
    be compared together.
    """
    kept = {
        path: target
        for path, target in pairs.items()
        if torch[path].kind == paddle[target].kind or not (torch[path].is_leaf and paddle[target].is_leaf)
    }
    orphaned = {
        info.parent for info in torch.values() if info.is_leaf and info.tensors and info.path and info.path not in kept
    }
    return {
        path: target
        for path, target in kept.items()
        if not (torch[path].is_leaf and torch[path].tensors and torch[path].parent in orphaned)
        or not torch[path].parent
        or torch[path].parent not in kept
    }


def _described(
    pairs: dict[str, str], origin: str, torch: Modules, paddle: Modules, ambiguous: tuple[str, ...]
) -> Pairing:
    targets = set(pairs.values())
    ours = [info for info in torch.values() if info.is_leaf and info.path not in pairs]
    theirs = [info for info in paddle.values() if info.is_leaf and info.path not in targets]
    return Pairing(
        pairs=pairs,
        origin=origin,
        unpaired_torch=tuple(info.path for info in ours),
        unpaired_paddle=tuple(info.path for info in theirs),
        uncovered=find_uncovered(torch, paddle, pairs),
        ambiguous=ambiguous,
    )
