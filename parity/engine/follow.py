"""A Paddle forward pass that follows a torch one and is compared with it, layer by layer.

Free: each layer's output is compared as it is, which shows how a difference grows.
Isolated: each layer is first given the reference's input, and its caller the reference's output, so that every layer,
and the code between layers, answers for itself alone. What a caller hands to a layer is compared too:
a difference there, when everything before was made equal, is the caller's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converter.names import count
from parity.engine.boundaries import Boundaries, Call
from parity.engine.conventions import Convention, explain_outputs
from parity.engine.events import (
    as_given,
    first,
    identity,
    is_floating,
    is_padded_by_one,
    pick,
    sequences,
    unlike,
    unlike_tensors,
)
from parity.engine.given import Given
from parity.engine.hooks import hook_inputs
from parity.engine.layouts import Layouts
from parity.engine.search import Search
from parity.engine.stream import Event, Key, Reference
from parity.networks.arguments import Arguments
from parity.networks.modules import ModuleInfo, is_users_own
from parity.verdicts.comparison import Comparison, compare, failed
from parity.verdicts.report import INPUT_SITE, OUTPUT_SITE, Layer
from twins.lazy import Tensor
from twins.tensors import flatten, list_keys, refill

Array = np.ndarray[Any, Any]
OnLayer = Callable[[Layer], None]
Sink = Callable[[Layer, Tensor, Tensor], None]
OnFault = Callable[[Layer, Key, list[Tensor], Collection[str]], None]
"""Is shown a comparison that failed, which of the reference's tensors it was of, the port's in their layout, and the
port's layers that were called until then."""


class Follower:
    """Runs a Paddle layer against `reference`, reporting each comparison to `on_layer`.

    `boundaries` says which input and output is whose; where there is a `search`, an output that is not what it should
    be is looked for elsewhere. `size` (H, W) is the images', `constants` those of
    the network's arguments that have one value throughout. After `run`, `unmatched` holds the port's calls that the
    reference has no counterpart of, and `calls` each called path with its last call's number.
    """

    def __init__(
        self,
        modules: Mapping[str, ModuleInfo],
        boundaries: Boundaries,
        reference: Reference,
        *,
        isolated: bool,
        channels_last: bool,
        coordinates: Mapping[str, Any],
        on_layer: OnLayer,
        convention: Convention,
        size: Sequence[int] = (),
        constants: Sequence[Array] = (),
        search: Search | None = None,
        sink: Sink | None = None,
        on_fault: OnFault | None = None,
    ) -> None:
        self._modules, self._boundaries, self._reference = modules, boundaries, reference
        self._read, self._write = reference.exchange.read, reference.exchange.write
        self._isolated, self._layouts = isolated, Layouts(modules, boundaries, channels_last=channels_last)
        self._coordinates, self._on_layer, self._sink = coordinates, on_layer, sink
        self._convention, self._size, self._search = convention, size, search
        self._constants, self._on_fault = constants, on_fault
        self.calls: dict[str, int] = {}
        self.unmatched: list[Call] = []
        self._callers: list[Call] = []
        self._wrong: set[Call] = set()
        self._given = Given()
        self._beginnings: dict[str, tuple[Call, Call, list[Any], Event, int, Comparison]] = {}
        """First inputs of layers that are constant, and prove nothing. They are no fault if the layer is called again
        with another: a recurrence begins with zeros."""
        self._ended: Call | None = None
        """The layer with parameters that ended last."""
        self._last: tuple[tuple[int, ...], Any, list[Comparison]] | None = None

    def run(self, layer: Any, arguments: Arguments) -> Any:
        """Forward pass on Paddle tensors with hooks, which are removed whatever happens."""
        from models_paddle import paddle

        handles = []
        try:
            for path in self._hooked():
                module = self._modules[path].module
                handles.append(hook_inputs(module, self._before(path)))
                handles.append(module.register_forward_post_hook(self._after(path)))
            with paddle.no_grad(), self._convention.applied():
                output = arguments.call(layer)
            for beginning in self._beginnings.values():
                self._accuse_for_input(*beginning)
            return output
        finally:
            for handle in handles:
                handle.remove()

    def _hooked(self) -> list[str]:
        own = self._boundaries.paths
        if self._search is None:
            return own
        return [*own, *(path for path, info in self._modules.items() if info.is_leaf and path not in set(own))]

    def _before(self, path: str) -> Callable[..., Any]:
        def hook(inputs: Any) -> Any:
            number = self.calls[path] = self.calls.get(path, -1) + 1
            caller = self._callers[-1] if self._callers else Call("", 0)
            self._callers.append(Call(path, number))
            entry = self._boundaries.entry(Call(path, number))
            if not self._isolated or entry is None or not path:  # both networks are called with the same
                return None
            event = self._reference.take(entry)
            return None if event is None else self._judge_input(caller, Call(path, number), inputs, event)

        return hook

    def _judge_input(self, caller: Call, call: Call, inputs: Any, event: Event) -> Any:
        """Report an input that is wrong; returns what takes the input's place, or None."""
        given = flatten(inputs)
        if self._given.hold(given, event):  # the output that took its place a moment ago
            self._begin_with_a_state(call)
            return None
        numbers, event = self._comparable(given, event)
        actual = [given[number] for number in numbers]
        if len(actual) != len(event.tensors):  # as where a layer takes one tensor as query, key and value
            actual, event = unlike(actual), unlike_tensors(event)
            if call.path not in self._boundaries.exits:  # the first of a unit, which may be given the first of several
                event = first(event, len(actual))
        if len(actual) == 1 and is_padded_by_one(self._read(actual[0]), event.tensors[0]):
            return None  # one side pads before the layer, which the other's does itself
        for index, comparison in enumerate(self._compared(actual, event)):
            if not comparison and self._search is not None and len(actual) == 1:
                comparison = self._search.explain_input(self._read(actual[0]), comparison) or comparison
            if comparison and call.number:
                self._beginnings.pop(call.path, None)
            elif comparison:
                continue
            elif not call.number and self._are_equal(actual, event):
                self._beginnings[call.path] = (caller, call, actual, event, index, comparison)
            else:
                self._accuse_for_input(caller, call, actual, event, index, comparison)
        return self._replaced(inputs, event, numbers)

    def _begin_with_a_state(self, call: Call) -> None:
        """Forgive the constant that a layer began with, if it stood beside a tensor that is none, as a cell's state."""
        if not call.number or call.path not in self._beginnings:
            return
        _, _, actual, event, _, _ = self._beginnings[call.path]
        if any(compare(self._read(own), expected) for own, expected in zip(actual, event.tensors, strict=True)):
            self._beginnings.pop(call.path)

    def _are_equal(self, actual: Sequence[Any], event: Event) -> bool:
        """Whether nothing is wrong with tensors but that they are constant."""
        pairs = zip(actual, event.tensors, strict=False)
        return len(actual) == len(event.tensors) and all(compare(self._read(a), b, constant=True) for a, b in pairs)

    def _comparable(self, actual: Sequence[Any], event: Event) -> tuple[Sequence[int], Event]:
        """Which of a layer's inputs are compared, and with what.

        Of an attention, masks are not: the frameworks' differ in kind, and its output shows what they do.
        """
        if self._layouts.kind(event) != "attention":
            return range(len(actual)), event
        numbers, own = sequences(actual), sequences(event.tensors)
        return numbers, pick(event, own)

    def _accuse_for_input(
        self, caller: Call, call: Call, actual: list[Any], event: Event, index: int, comparison: Comparison
    ) -> None:
        """Report a wrong input: of the caller's code, or of the unit right before it, whose end only it shows."""
        before = self._ended
        if before is not None and before.path in self._boundaries.opaque:
            if before in self._wrong:  # what was put in its place may not be where it ends
                return
            if self._is_open(before) and is_users_own(self._modules[before.path].module):
                self._wrong.add(before)
                self._report(self._layer(before, event, index, comparison, OUTPUT_SITE), actual, event)
                return
        site = f"{INPUT_SITE}{event.key.path or 'the network'}"
        self._report(self._layer(caller, event, index, comparison, site, self._stretch(*call)), actual, event)

    def _report(self, layer: Layer, actual: list[Any], event: Event) -> None:
        if self._on_fault is not None and not layer.comparison:
            self._on_fault(layer, event.key, self._as_the_reference(actual, event), self.calls)
        self._on_layer(layer)

    def _as_the_reference(self, actual: list[Any], event: Event) -> list[Tensor]:
        """The port's tensors, in the layout of the reference's where there are as many."""
        own = [self._read(tensor) for tensor in actual]
        if len(own) != len(event.tensors):
            return own
        for number, (one, expected) in enumerate(zip(own, event.tensors, strict=True)):
            if self._layouts.lay_out(expected, one, event) is not expected:
                numbers = np.arange(math.prod(one.shape)).reshape(tuple(expected.shape))
                places = self._layouts.lay_out(numbers, one, event).reshape(-1).argsort()
                own[number] = one.reshape(-1)[places].reshape(tuple(expected.shape))
        return own

    def _is_open(self, call: Call) -> bool:
        """Whether a call's output is compared at the next layer's input."""
        found = self._boundaries.found if self._search is None else self._search.found
        return call in found and found[call] is None

    def _stretch(self, path: str, number: int) -> str:
        """The port's code that an input comes from: after the layer that ended last, up to this call."""
        before = "the network's input" if self._ended is None else _name(*self._ended)
        return f"between your {before} and your {_name(path, number)}"

    def _after(self, path: str) -> Callable[..., Any]:
        def hook(layer: Any, inputs: Any, outputs: Any) -> Any:
            call = self._callers.pop()
            if self._modules[path].tensors and self._modules[path].is_leaf:
                self._ended = call
            key = self._boundaries.exit(call)
            if key is not None:
                event = self._take(call, key)
                return None if event is None else self._judge(call, inputs, outputs, event)
            if self._search is not None and call.path not in self._boundaries.exits:
                self._search.resolve(call, outputs)
            return None

        return hook

    def _take(self, call: Call, key: Key) -> Event | None:
        """The reference's tensors that an output is compared with."""
        if key.kind == "input" and not self._isolated:  # compared as the next layer's own
            return None
        elsewhere = call in self._boundaries.found and key.path in self._boundaries.reference_exits
        event = self._reference.peek(key) if elsewhere or key.kind == "input" else self._reference.take(key)
        if event is None:
            self.unmatched.append(call)
        return event

    def _judge(self, call: Call, inputs: Any, outputs: Any, event: Event) -> Any:
        """Report an output's comparison; returns what takes the output's place, or None."""
        actual = flatten(outputs)
        if not call.path:
            actual, event = self._brought(outputs, event)
        elif (
            self._layouts.kind(event) == "attention" or call.path not in self._boundaries.entries
        ):  # the weights of attention, after its output, are given or not
            event = first(event, len(actual))
            actual = actual[: len(event.tensors)]
        elif len(actual) != len(event.tensors):  # as of Paddle's LSTMCell, which gives its hidden state twice
            actual, event = unlike(actual), unlike_tensors(event)
        comparisons = self._compared(actual, event)
        if self._search is not None and len(comparisons) == 1 and not comparisons[0]:
            found = self._search.find(call, inputs, outputs, event, comparisons[0], self._reference)
            if found is not None and found.event is None:
                return None
            if found is not None and found.event is not None:
                event, comparisons = found.event, found.comparisons
        if not all(comparisons):
            self._wrong.add(call)
        for index, comparison in enumerate(comparisons):
            layer = self._layer(call, event, index, comparison, OUTPUT_SITE)
            if self._sink is not None and layer.shape:
                self._sink(layer, self._read(actual[index]), event.tensors[index])
            self._report(layer, actual, event)
        return self._replaced(outputs, event) if self._isolated and call.path else None

    def _brought(self, outputs: Any, event: Event) -> tuple[list[Any], Event]:
        """The network's outputs, and the reference's, by one convention."""
        actual, names = flatten(outputs), list_keys(outputs)
        own, expected = self._convention.bring(actual, names, event.tensors, event.names, self._size)
        truth = event.truth
        if truth is not None:
            truth = tuple(self._convention.bring(actual, names, truth, event.names, self._size)[1])
        return own, replace(event, tensors=tuple(expected), truth=truth)

    def _compared(self, actual: list[Any], event: Event) -> list[Comparison]:
        if len(actual) != len(event.tensors):
            shapes = [tuple(tensor.shape) for tensor in actual]
            return [failed(f"{count(len(actual), 'tensor')} {shapes}, the reference has {len(event.tensors)}")]
        ours = [self._read(tensor) for tensor in actual]
        theirs = [self._layouts.lay_out(*pair, event) for pair in zip(event.tensors, ours, strict=True)]
        truths: list[Tensor | None] = [None] * len(theirs)
        if event.truth is not None:
            truths = [self._layouts.lay_out(*pair, event) for pair in zip(event.truth, ours, strict=True)]
        # A container returns its last child's tensors: the same comparison again. Holding them keeps
        # their addresses from being used again; their versions count in-place changes.
        seen = identity(actual, event)
        if self._last is None or self._last[0] != seen:
            triples = zip(ours, theirs, truths, strict=True)
            comparisons = [compare(*triple, constant=self._is_given(triple[1])) for triple in triples]
            if len(ours) == 1 and not comparisons[0] and self._layouts.arrange(theirs[0], ours[0], event):
                return self._compared(actual, event)
            if event.key.path == "" and event.key.kind == "output":
                comparisons = [self._in_words(actual, event, index, one) for index, one in enumerate(comparisons)]
            self._last = seen, (actual, event), comparisons
        return list(self._last[2])

    def _is_given(self, expected: Tensor) -> bool:
        """Whether a tensor is a constant that the network is called with, such as a mask of ones."""
        shapes = [tuple(tensor.shape) for tensor in self._constants]
        return tuple(expected.shape) in shapes and any(
            one.shape == expected.shape and bool((expected == as_given(one)).all()) for one in self._constants
        )

    def _in_words(self, actual: list[Any], event: Event, index: int, comparison: Comparison) -> Comparison:
        """With what the network's output is instead, if that is known."""
        said = "" if comparison else explain_outputs(actual, event.tensors, index, self._reference.exchange)
        return replace(comparison, reason=f"{comparison.reason}: {said}") if said else comparison

    def _replaced(self, value: Any, event: Event, numbers: Sequence[int] | None = None) -> Any:
        """`value` with the reference's tensors in it, where they fit: a layer takes any size, but not any channels.

        They stand for those of its tensors that `numbers` count, or for all.
        """
        tensors = flatten(value)
        numbers = range(len(tensors)) if numbers is None else numbers
        if len(numbers) != len(event.tensors):
            numbers = [place for place in numbers if not any(tensors[place] is one for one in tensors[:place])]
        if len(numbers) != len(event.tensors):
            return None
        for number, expected in zip(numbers, event.tensors, strict=True):
            own = tensors[number]
            ours = self._layouts.lay_out(expected, self._read(own), event)
            shapes = [tuple(one.shape) for one in (ours, own)]
            fits = shapes[0][:2] == shapes[1][:2] and len(shapes[0]) == len(shapes[1])
            fits = fits and is_floating(ours) == is_floating(own)
            if fits:
                written = self._write(ours)
                tensors = [written if one is own else one for one in tensors]
                self._given.note(written, expected)
        return refill(value, iter(tensors))

    def _layer(
        self, call: Call, event: Event, index: int, comparison: Comparison, site: str, stretch: str = ""
    ) -> Layer:
        shape = tuple(event.tensors[index].shape) if index < len(event.tensors) else ()
        return Layer(
            path=self._boundaries.name(call.path),
            call=call.number,
            port=call.path,
            output=index,
            site=site,
            stretch=stretch,
            shape=shape,
            comparison=comparison,
            **self._coordinates,
        )


def _name(path: str, number: int) -> str:
    return f"`{path}`, call {number + 1}"
