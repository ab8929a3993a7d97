"""Which tensor of a port is which of torch's, and which parameters only one of the two has.

A parameter that torch does not have, such as a scale of one, changes nothing in evaluation, and everything once it is
trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from parity.networks.modules import ModuleInfo

Modules = Mapping[str, ModuleInfo]
Slot = tuple[str, str]
"""Path of a module and the name of a tensor of its own."""


def match_tensors(torch: Modules, paddle: Modules, pairs: Mapping[str, str]) -> dict[Slot, Slot]:
    """Torch's tensors -> Paddle's: of paired layers, and the parameters of modules that hold layers.

    Those need no paired module: a port may keep the attention's scale in its head, or in the network. There the only
    free one of the same name and shape is taken, else the only one of the same shape.
    """
    found = {
        (path, name): (target, own)
        for path, target in pairs.items()
        if torch[path].kind == paddle[target].kind
        for name, own in counterparts(torch[path], paddle[target]).items()
    }
    for path, name in _own_parameters(torch, found):
        shape = torch[path].tensors[name].shape
        free = [
            slot
            for slot in _own_parameters(paddle, set(found.values()))
            if paddle[slot[0]].tensors[slot[1]].shape == shape
        ]
        alike = [slot for slot in free if slot[1] == name] or free
        if len(alike) == 1:
            found[path, name] = alike[0]
    return found


def counterparts(ours: ModuleInfo, theirs: ModuleInfo) -> dict[str, str]:
    """torch's tensor name -> Paddle's: the same name, else the next unclaimed one of the same shape."""
    names = {name: name for name in ours.tensors if name in theirs.tensors}
    for name, tensor in ours.tensors.items():
        free = [n for n, t in theirs.tensors.items() if n not in names.values() and t.shape == tensor.shape]
        if name not in names and free:
            names[name] = free[0]
    return names


def find_uncovered(torch: Modules, paddle: Modules, pairs: Mapping[str, str]) -> tuple[str, ...]:
    """Layers, and parameters ("path.name"), that have no counterpart and that too little is seen of.

    Where both sides of a paired module smaller than the network have such, it is written in other parameters, as with
    a BatchNorm folded into its convolution: it is compared as a whole.
    """
    matched = match_tensors(torch, paddle, pairs)
    ours = _by_module(torch, {path: path for path in pairs}, matched)
    theirs = _by_module(paddle, {target: path for path, target in pairs.items()}, set(matched.values()))
    rewritten = ours.keys() & theirs.keys() - {""}
    return tuple(
        name for side in (ours, theirs) for around, names in side.items() if around not in rewritten for name in names
    )


def _own_parameters(modules: Modules, taken: Collection[Slot]) -> Iterator[Slot]:
    """Free parameters of modules that hold layers."""
    for path, info in modules.items():
        if not info.is_leaf:
            yield from ((path, name) for name in info.tensors if name in info.parameters and (path, name) not in taken)


def _by_module(modules: Modules, paired: Mapping[str, str], matched: Collection[Slot]) -> dict[str, list[str]]:
    """What is unmatched, by torch's path of the paired module around it, or itself, or else the network."""
    found: dict[str, list[str]] = {}
    for path, info in modules.items():
        if info.is_leaf and path not in paired:
            names = [path] if info.tensors else []
        else:
            left = [name for name in info.tensors if name in info.parameters and (path, name) not in matched]
            names = [f"{path}.{name}" if path else name for name in left]
        if names:
            found.setdefault(paired.get(path, paired.get(info.parent, "")), []).extend(names)
    return found
