"""Calls of modules under training: what went in and out, and the gradients of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity.certify.sides import Side
from twins.tensors import flatten

Array = np.ndarray[Any, Any]

CONTAINERS = ("Sequential", "LayerList", "ModuleList")
Key = tuple[str, int]
"""Torch's path and call number."""


@dataclass
class Call:
    """The tensors of one call."""

    path: str
    number: int
    inputs: list[Any]
    outputs: list[Any]

    @property
    def name(self) -> str:
        """For people."""
        return self.path + (f", pass {self.number + 1}" if self.number else "")


@dataclass
class Recording:
    """All calls of one pass in the order in which they ended: a module after those inside it."""

    calls: dict[Key, Call] = field(default_factory=dict)

    def gradients(self, side: Side, key: Key) -> dict[str, Array]:
        """ "input 0", "output 0", … -> gradient, of the tensors that got one."""
        call = self.calls[key]
        tensors = {
            f"{kind} {number}": tensor
            for kind, found in (("input", call.inputs), ("output", call.outputs))
            for number, tensor in enumerate(found)
        }
        return {name: side.array(tensor.grad) for name, tensor in tensors.items() if tensor.grad is not None}


def observable(side: Side) -> list[str]:
    """Paths whose calls are worth a look: all but the network itself and mere containers."""
    return [path for path, info in side.modules.items() if path and type(info.module).__name__ not in CONTAINERS]


@contextmanager
def recording(side: Side, paths: list[str]) -> Iterator[Recording]:
    """Record every call of the modules at `paths`, keeping the gradients of their tensors."""
    found = Recording()
    counts: dict[str, int] = {}

    def keep(path: str) -> Any:
        def hook(inputs: Any, outputs: Any) -> None:
            number = counts[path] = counts.get(path, -1) + 1
            call = Call(path, number, flatten(inputs), flatten(outputs))
            for tensor in (*call.inputs, *call.outputs):
                if side.has_history(tensor):
                    side.retain(tensor)
            found.calls[path, number] = call

        return hook

    handles = [side.observe(path, keep(path)) for path in paths]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def replay(
    side: Side, path: str, inputs: list[Array], upstream: list[Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The module at `path` alone: its outputs, and the gradients of its inputs and own parameters.

    `inputs` are its inputs and `upstream` the gradients of its outputs. A gradient that there is none of is zero.
    """
    tensors = [side.tensor(array) for array in inputs]
    for tensor in tensors:
        side.require_gradient(tensor)
    # Copies: a layer may overwrite its input, which a leaf of the graph does not allow.
    outputs = flatten(side.modules[path].module(*(tensor * 1 for tensor in tensors)))
    own = {n: p for n, p in side.parameters.items() if n == path or n.startswith(f"{path}.")}
    wanted = [*tensors, *own.values()]
    found = side.differentiate(outputs, wanted, [side.tensor(array) for array in upstream])
    names = [*(f"input {number}" for number in range(len(tensors))), *own]
    gradients = {
        name: np.zeros(tuple(tensor.shape)) if gradient is None else side.array(gradient)
        for name, tensor, gradient in zip(names, wanted, found, strict=True)
    }
    return {f"output {number}": side.array(output) for number, output in enumerate(outputs)}, gradients
