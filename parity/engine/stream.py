"""A torch forward pass as a stream of events that another framework's pass can follow in lock-step.

The pass runs in a greenlet and stands still inside each hook until its event has been dealt with: nothing is
copied, nothing piles up, and no later in-place operation can change what was seen. A thread would do the same, but
waking one at every event costs more than many a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from greenlet import greenlet

from parity.networks.arguments import Arguments
from twins.lazy import Tensor, nn, torch
from twins.tensors import TORCH, flatten, list_keys, refill

Kind = Literal["input", "output"]


class Key(NamedTuple):
    """Which tensors: those that entered or left call number `call` of the module at `path`."""

    kind: Kind
    path: str
    call: int


@dataclass(frozen=True)
class Event:
    """The tensors that entered or left one call of a module, and their keys where they were in a dictionary.

    `truth` are those of the float64 pass beside it, if there is one. Of a recording, they are arrays.
    """

    key: Key
    tensors: tuple[Tensor, ...]
    truth: tuple[Tensor, ...] | None = None
    names: tuple[str, ...] = ()
    number: int = 0
    """In the order of the pass."""


class _Closed(BaseException):
    """Raised inside a paused pass to unwind it."""


class TorchPass:
    """One forward pass of `module`, paused at each output, and if asked each input, of the modules in `paths`."""

    def __init__(self, module: nn.Module, arguments: Arguments, paths: Collection[str], *, inputs: bool) -> None:
        self._module, self._arguments, self._paths, self._inputs = module, arguments, frozenset(paths), inputs
        floating = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
        self._dtype = next(floating, torch.get_default_dtype())
        self._greenlet = greenlet(self._run)

    def next(self, reply: tuple[Tensor, ...] | None = None) -> Event | None:
        """Go on, with the tensors just shown replaced by `reply` if given, to the next event; None at the end."""
        if self._greenlet.dead:
            return None
        default = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)  # of what the module's code makes without saying
        try:
            with torch.no_grad():  # around each piece: the mode belongs to the thread, which the passes share
                return self._greenlet.switch(*([reply] if self._greenlet else []))
        finally:
            torch.set_default_dtype(default)

    def close(self) -> None:
        """End the pass wherever it stands; its hooks are removed."""
        if self._greenlet:
            self._greenlet.throw(_Closed)

    def _run(self) -> None:
        calls: dict[str, int] = {}
        handles = []
        try:
            for path, module in self._module.named_modules():
                if path in self._paths:
                    handles.append(module.register_forward_pre_hook(self._before(path, calls), with_kwargs=True))
                    handles.append(module.register_forward_hook(self._after(path, calls)))
            self._arguments.call(self._module)
        except _Closed:
            pass
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, path: str, calls: dict[str, int]) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            calls[path] = calls.get(path, -1) + 1
            return self._show(Key("input", path, calls[path]), (args, kwargs)) if self._inputs else None

        return hook

    def _after(self, path: str, calls: dict[str, int]) -> Callable[..., Any]:
        return lambda module, args, output: self._show(Key("output", path, calls[path]), output)

    def _show(self, key: Key, value: Any) -> Any:
        event = Event(key, tuple(flatten(value)), names=tuple(list_keys(value)))
        reply = self._greenlet.parent.switch(event)
        return None if reply is None else refill(value, iter(reply))


class Reference:
    """The torch side of a comparison: a pass, and beside it the float64 pass that says what is true.

    `isolated`: inputs are events too, and the float64 pass is given, at each event, what the other pass has,
    so that its own next tensors are the truth about one layer alone.
    """

    exchange = TORCH

    def __init__(
        self,
        module: nn.Module,
        arguments: Arguments,
        paths: Collection[str],
        *,
        truth: nn.Module | None = None,
        isolated: bool = False,
    ) -> None:
        self._pass = TorchPass(module, arguments, paths, inputs=isolated)
        self._truth = None if truth is None else TorchPass(truth, arguments.map(_doubled), paths, inputs=isolated)
        self._isolated = isolated
        self._shown: Event | None = None
        self._waiting: dict[Key, Event] = {}
        self._count = 0

    def take(self, key: Key) -> Event | None:
        """The event with `key`; None if torch has none. Events passed over wait, as copies, for their turn."""
        if key in self._waiting:
            return self._waiting.pop(key)
        while (event := self._next()) is not None:
            if event.key == key:
                return event
            self._waiting[event.key] = copy_event(event)
        return None

    def peek(self, key: Key) -> Event | None:
        """The same, which goes on waiting: another may take it."""
        if key not in self._waiting:
            event = self.take(key)
            if event is None:
                return None
            self._waiting[key] = copy_event(event)
        return self._waiting[key]

    def look_ahead(self, start: Event, last: Callable[[Key], bool]) -> Iterator[Event]:
        """The events after `start` up to the one that is the `last`, which all go on waiting for their turn."""
        for event in [waiting for waiting in self._waiting.values() if waiting.number > start.number]:
            yield event
            if last(event.key):
                return
        while (coming := self._next()) is not None:
            event = self._waiting[coming.key] = copy_event(coming)
            yield event
            if last(event.key):
                return

    def remaining(self) -> Iterator[tuple[Key, Event]]:
        """All events that are still to come."""
        while (event := self._next()) is not None:
            yield event.key, event

    def leftover(self) -> Iterator[Key]:
        """The keys of all events that were not taken. Ends the passes."""
        yield from self._waiting
        while (event := self._next()) is not None:
            yield event.key

    def close(self) -> None:
        """End both passes."""
        self._pass.close()
        if self._truth is not None:
            self._truth.close()

    def _next(self) -> Event | None:
        reply = None
        if self._isolated and self._shown is not None and self._truth is not None:
            reply = tuple(_doubled(tensor) for tensor in self._shown.tensors)
        event = self._pass.next()
        self._shown = event
        exact = None if self._truth is None else self._truth.next(reply)
        if event is None or (exact is None and self._truth is not None):
            return None
        self._count += 1
        return replace(event, truth=None if exact is None else exact.tensors, number=self._count)


def copy_event(event: Event) -> Event:
    """With tensors of its own, which no in-place operation reaches; none reaches a recording's."""
    if all(isinstance(tensor, np.ndarray) for tensor in event.tensors):
        return event
    truth = None if event.truth is None else tuple(tensor.clone() for tensor in event.truth)
    return replace(event, tensors=tuple(tensor.clone() for tensor in event.tensors), truth=truth)


def _doubled(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
