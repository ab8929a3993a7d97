"""The modules of a network of either framework, described alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.bridge import CANONICAL_LEAVES
from twins.tensors import paddle_to_torch

Array = np.ndarray[Any, Any]

KINDS: dict[str, str] = {
    "conv": "conv",
    "linear": "linear",
    "batchnorm": "norm",
    "syncbatchnorm": "norm",
    "groupnorm": "norm",
    "layernorm": "norm",
    "instancenorm": "norm",
    "embedding": "embedding",
}
"""Beginning of a class name, in lower case -> kind of layer with parameters. All other leaves are plain."""


@dataclass(frozen=True)
class ModuleInfo:
    """A module: its path, the object, kind ("conv", "norm", …, "plain", or "composite"), and own tensors.

    `tensors` are parameters and buffers, under torch's leaf names, as arrays of their own dtype, which share the
    module's memory; `names` gives the attribute each is in, `parameters` which of them are no buffers.
    """

    path: str
    module: Any
    kind: str
    order: int
    tensors: dict[str, Array] = field(repr=False)
    names: dict[str, str] = field(repr=False)
    parameters: frozenset[str] = field(repr=False)

    @property
    def is_leaf(self) -> bool:
        return self.kind != "composite"

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Names and shapes of the tensors, which a counterpart must share."""
        return tuple(sorted((name, array.shape) for name, array in self.tensors.items()))


def torch_modules(model: Any) -> dict[str, ModuleInfo]:
    """Path -> module, the network itself as "", in registration order; shared modules once."""
    found = {}
    for order, (path, module) in enumerate(model.named_modules()):
        parameters = dict(module.named_parameters(recurse=False))
        own = {**parameters, **dict(module.named_buffers(recurse=False))}
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in own.items() if name != COUNTER}
        kind = _kind(module, any(True for _ in module.children()))
        names = {name: name for name in tensors}
        found[path] = ModuleInfo(path, module, kind, order, tensors, names, frozenset(parameters))
    return found


def paddle_modules(model: Any) -> dict[str, ModuleInfo]:
    """The same of a Paddle network."""
    found: dict[str, ModuleInfo] = {}
    seen: set[int] = set()
    for order, (path, layer) in enumerate(model.named_sublayers(include_self=True)):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        own = {**dict(layer._parameters), **dict(layer._buffers)}
        names = {CANONICAL_LEAVES.get(name, name): name for name, tensor in own.items() if tensor is not None}
        tensors = {name: paddle_to_torch(own[attribute]).cpu().numpy() for name, attribute in names.items()}
        kind = _kind(layer, any(True for _ in layer.children()))
        parameters = frozenset(name for name, attribute in names.items() if attribute in layer._parameters)
        found[path] = ModuleInfo(path, layer, kind, order, tensors, names, parameters)
    return found


COUNTER = "num_batches_tracked"


def _kind(module: Any, has_children: bool) -> str:
    if has_children:
        return "composite"
    for base in type(module).__mro__:
        name = base.__name__.lower()
        kind = next((kind for prefix, kind in KINDS.items() if name.startswith(prefix)), None)
        if kind is not None:
            return kind
    return "plain"
