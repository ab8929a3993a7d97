"""Calls of modules under training: what went in and out, and the gradients of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity.certify.sides import Side
from twins.tensors import flatten, refill

Array = np.ndarray[Any, Any]

CONTAINERS = ("Sequential", "LayerList", "ModuleList")
Key = tuple[str, int]
"""Torch's path and call number."""
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def _version(tensor: Any) -> int:
    """How often a tensor of torch's was overwritten; Paddle's say it otherwise."""
    return int(getattr(tensor, "_version", getattr(tensor, "inplace_version", 0)))


@dataclass
class Call:
    """One call: its arguments (positional, by name), the tensors in them, and those that it gave.

    `given` are its inputs as they were before: a layer may overwrite them. `versions` tell which tensors were
    overwritten since; what gradient such a one keeps is of what became of it.
    """

    path: str
    number: int
    arguments: Arguments
    inputs: list[Any]
    outputs: list[Any]
    given: list[Array]
    versions: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.versions = {id(tensor): _version(tensor) for tensor in (*self.inputs, *self.outputs)}

    def is_kept(self, tensor: Any) -> bool:
        """Whether nothing overwrote the tensor since the call."""
        return self.versions[id(tensor)] == _version(tensor)

    @property
    def name(self) -> str:
        """For people."""
        return self.path + (f", pass {self.number + 1}" if self.number else "")


@dataclass
class Recording:
    """All calls of one pass in the order in which they ended: a module after those inside it."""

    calls: dict[Key, Call] = field(default_factory=dict)

    def gradients(self, side: Side, key: Key) -> dict[str, Array]:
        """ "input 0", "output 0", … -> gradient, of the tensors that got one and were not overwritten."""
        named = self._tensors(key)
        lost = self.overwritten(key)
        return {n: side.array(t.grad) for n, t in named.items() if n not in lost and t.grad is not None}

    def overwritten(self, key: Key) -> set[str]:
        """Names of the tensors that the layer, or a later one, wrote something else into."""
        call, kept = self.calls[key], {id(tensor) for tensor in self.calls[key].outputs}
        named = self._tensors(key)
        return {n for n, t in named.items() if not call.is_kept(t) or (n.startswith("input") and id(t) in kept)}

    def _tensors(self, key: Key) -> dict[str, Any]:
        call = self.calls[key]
        return {
            f"{kind} {number}": tensor
            for kind, found in (("input", call.inputs), ("output", call.outputs))
            for number, tensor in enumerate(found)
        }


def observable(side: Side) -> list[str]:
    """Paths whose calls are worth a look: all but the network itself and mere containers."""
    return [path for path, info in side.modules.items() if path and type(info.module).__name__ not in CONTAINERS]


@contextmanager
def recording(side: Side, paths: list[str]) -> Iterator[Recording]:
    """Record every call of the modules at `paths`, keeping the gradients of their tensors."""
    found = Recording()
    counts: dict[str, int] = {}

    begun: dict[str, tuple[Arguments, list[Array]]] = {}

    def before(path: str) -> Any:
        def hook(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            begun[path] = (args, kwargs), [side.array(tensor) for tensor in flatten((args, kwargs))]

        return hook

    def keep(path: str) -> Any:
        def hook(outputs: Any) -> None:
            number = counts[path] = counts.get(path, -1) + 1
            arguments, given = begun.pop(path)
            call = Call(path, number, arguments, flatten(arguments), flatten(outputs), given)
            for tensor in (*call.inputs, *call.outputs):
                if side.has_history(tensor):
                    side.retain(tensor)
            found.calls[path, number] = call

        return hook

    handles = [handle for path in paths for handle in side.observe(path, before(path), keep(path))]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def replay(
    side: Side, call: Call, inputs: list[Array], upstream: list[Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The module of `call` alone: its outputs, and the gradients of its inputs and own parameters.

    `inputs` take the place of the tensors among the call's arguments, and `upstream` are the gradients of its outputs.
    A gradient that there is none of is zero. Raises ValueError if the call has another number of tensors, or gives
    others than `upstream` is for.
    """
    path = call.path
    tensors = [side.tensor(array) for array in inputs]
    for tensor in tensors:
        if side.is_floating(tensor):
            side.require_gradient(tensor)
    # Copies: a layer may overwrite its input, which a leaf of the graph does not allow.
    outputs = _call(side, call, [tensor * 1 for tensor in tensors])
    shapes = [[tuple(one.shape) for one in found] for found in (outputs, upstream)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{call.name} gives {shapes[0]}, the reference {shapes[1]}")
    own = {n: p for n, p in side.parameters.items() if n == path or n.startswith(f"{path}.")}
    wanted = [*tensors, *own.values()]
    found = side.differentiate(outputs, wanted, [side.tensor(array) for array in upstream])
    names = [*(f"input {number}" for number in range(len(tensors))), *own]
    gradients = {
        name: np.zeros(tuple(tensor.shape)) if gradient is None else side.sign(name) * side.array(gradient)
        for name, tensor, gradient in zip(names, wanted, found, strict=True)
    }
    return {f"output {number}": side.array(output) for number, output in enumerate(outputs)}, gradients


def replay_forward(side: Side, call: Call, inputs: list[Array]) -> None:
    """Run the module of `call` alone on these inputs, for what it keeps of them. Raises ValueError as `replay`."""
    _call(side, call, [side.tensor(array) for array in inputs])


def _call(side: Side, call: Call, tensors: list[Any]) -> list[Any]:
    """The outputs of the module with `tensors` in the place of those among the call's arguments."""
    if len(tensors) != len(call.inputs):
        raise ValueError(f"{call.name} takes {len(call.inputs)} tensors, not {len(tensors)}")
    args, kwargs = refill(call.arguments, iter(tensors))
    return flatten(side.modules[call.path].module(*args, **kwargs))
