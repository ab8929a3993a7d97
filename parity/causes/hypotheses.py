"""What a hypothesis is: one thing that a porter may have done, and the edit of the reference's unit that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import numpy as np
from torch import Tensor

from parity.causes.replay import Replay
from parity.causes.steps import Edit, Step, tensors_of
from parity.networks.modules import ModuleInfo

Rule = Callable[[Step, "Asked"], Iterator["Hypothesis"]]
Result = Callable[[Tensor], Tensor]
Change = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Hypothesis:
    """`text` says what the port does, beside the reference, and `fix` what to write instead.

    `edits` are of the unit's steps, by number; `change` is of its tensors, `other` of its other arguments, `result` of
    what it gives. `tensors` are the port's values for the reference's parameters, `attributes` other numbers for the
    reference's modules.
    """

    name: str
    text: str
    fix: str
    edits: Mapping[int, Edit] = field(default_factory=dict)
    change: Change | None = None
    other: Callable[[Any], Any] | None = None
    result: Result | None = None
    tensors: Sequence[tuple[Tensor, Tensor]] = ()
    attributes: Sequence[tuple[Any, str, float]] = ()
    is_read: bool = False
    """Whether it was read off the port's layer."""
    parts: tuple[Any, ...] = ()
    """Keys of the hypotheses that it is made of."""
    again: Callable[[Asked], Hypothesis] | None = None
    """Makes the same for another input, where that is not found by its key."""

    @property
    def key(self) -> tuple[Any, ...]:
        """By which it is the same on another input."""
        return self.name, self.text, tuple(self.edits)


@dataclass(frozen=True)
class Asked:
    """Why one unit of the port differs: what the reference makes of an input (`replay`), and the port of the same.

    `number` says which of the watched tensors it is, `actual` are all of the port's. `reference` and `port` are the two
    layers, where they are a pair.
    """

    replay: Replay
    actual: tuple[Tensor, ...]
    number: int
    reference: ModuleInfo | None = None
    port: ModuleInfo | None = None
    added: Mapping[str, Tensor] = field(default_factory=dict)
    """The port's tensors inside that have no counterpart, by name."""
    is_network: bool = False
    earlier: Replay | None = None
    """The unit's call before this one."""
    finish: Result | None = None
    """What both sides' tensors went through before they were compared."""

    @property
    def settings(self) -> dict[str, Any]:
        """The attributes of the port's layer, by their plain names."""
        if self.port is None:
            return {}
        own = {name.lstrip("_").lower(): value for name, value in vars(self.port.module).items()}
        return {
            name: value for name, value in own.items() if isinstance(value, bool | int | float | str | list | tuple)
        }

    def numbers(self, *usual: float) -> Iterator[tuple[float, bool]]:
        """The fractions that the port's layer has, and the usual ones; each also as a float32, as a kernel keeps it.

        With each, whether it is the layer's own.
        """
        own = [value for value in self.settings.values() if isinstance(value, float) and 0 < value < 1]
        found = dict.fromkeys(kept for value in (*own, *usual) for kept in (value, float(np.float32(value))))
        kept = {float(np.float32(value)) for value in own}
        yield from ((value, float(np.float32(value)) in kept) for value in found)

    @property
    def is_otherwise_many(self) -> bool:
        """Whether the port hands a layer more tensors, or fewer, than the reference: none is another's counterpart."""
        return self.replay.watched.kind == "input" and len(self.actual) != len(self.replay.baseline)

    @property
    def expected(self) -> Tensor:
        """The reference's tensor."""
        return self.replay.baseline[self.number]

    @property
    def compared(self) -> Tensor:
        """The port's."""
        return self.actual[self.number]


def leave_out(number: int = 0) -> Edit:
    """An edit: the step gives its own tensor of that number."""

    def edit(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return tensors_of([args, kwargs])[number].clone()

    return edit


def join_edits(first: Mapping[int, Edit], second: Mapping[int, Edit]) -> dict[int, Edit]:
    """Both, also of one step."""
    both = {number: _in_turn(first[number], second[number]) for number in first.keys() & second.keys()}
    return {**first, **second, **both}


def _in_turn(first: Edit, second: Edit) -> Edit:
    def edit(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        @wraps(step.function)
        def function(*own: Any, **named: Any) -> Any:
            return first(step, own, named)

        return second(replace(step, function=function), args, kwargs)

    return edit


def replace_by(function: Callable[..., Any]) -> Edit:
    """An edit: the step gives `function` of its first tensor."""
    return lambda step, args, kwargs: function(_first(args, kwargs))


def follow_by(function: Callable[..., Any]) -> Edit:
    """An edit: what the step gives goes through `function`."""
    return lambda step, args, kwargs: function(step.function(*args, **kwargs))


def precede_by(function: Callable[..., Any]) -> Edit:
    """An edit: the step's first tensor goes through `function` before."""

    def edit(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and isinstance(args[0], Tensor):
            return step.function(function(args[0]), *args[1:], **kwargs)
        if args and isinstance(args[0], list | tuple):
            return step.function([function(args[0][0]), *args[0][1:]], *args[1:], **kwargs)
        return step.function(*args, **{**kwargs, "input": function(kwargs["input"])})

    return edit


def _first(args: Any, kwargs: Any) -> Tensor:
    found = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    return found[0]
