"""What a network is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any


@dataclass(frozen=True)
class Arguments:
    """What a network is called with: `args` in order, `kwargs` by name. NumPy arrays or torch tensors."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def map(self, function: Callable[[Any], Any]) -> Arguments:
        """With `function` of each."""
        return Arguments(
            tuple(map(function, self.args)), {name: function(value) for name, value in self.kwargs.items()}
        )

    def call(self, network: Any) -> Any:
        """The network's outputs. What it does not know by name, it is given in order."""
        if all(name in signature(network.forward).parameters for name in self.kwargs):
            return network(*self.args, **self.kwargs)
        return network(*self.tensors)

    @property
    def tensors(self) -> list[Any]:
        """All of them, in order."""
        return [*self.args, *self.kwargs.values()]
