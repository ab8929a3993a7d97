"""A unit of the reference run again, operation by operation, with some of them done otherwise.

    replay = Replay(unit, args, kwargs, held={id(unit.conv): "conv"}, watched=Watched("", "output", 0))
    steps = replay.steps                                # what the unit does, in order
    outputs = replay.run({steps[3].number: lambda step, args, kwargs: args[0]})   # without the fourth

Every function of torch that the unit's own code calls is a step, whoever wrote that code: an attention by hand has its
`softmax` and its `bmm`, an `nn.Conv2d` its `conv2d`. So is each call of a layer inside, before the steps within it. A
layer that the port was given the reference's output of (`held`) gives what it gave, and costs nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from parity.causes.opened import open_function
from parity.causes.steps import CALL, LOOKS, VIEWS, Edit, Step, count_work, is_in_place, name_of_function, tensors_of
from twins.tensors import flatten, refill

MOST_RECORDED = 1 << 27
"""Elements of all tensors that are kept of one unit, a gigabyte in float64."""
SUMMING = frozenset({"conv1d", "conv2d", "conv3d", "linear"})
"""Functions whose second argument is a weight."""


@dataclass(frozen=True)
class Watched:
    """Which tensors are looked at: what enters or leaves call number `call` of the module at `path` in the unit."""

    path: str
    kind: str
    call: int


class TooLarge(Exception):  # noqa: N818 - no error
    """Ends the recording of a unit whose tensors would fill memory."""


class _Seen(Exception):  # noqa: N818 - no error
    """Ends a run where the watched tensors are there."""


@dataclass
class Replay:
    """`unit` on one input. `held` maps the id of a module inside to its path.

    A run gives the watched tensors, and raises whatever an edit leads to.
    """

    unit: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    held: Mapping[int, str]
    watched: Watched
    paths: Mapping[int, str] = field(default_factory=dict)
    """Of every module inside, by id."""
    memo: dict[tuple[str, int], Any] = field(default_factory=dict)
    shapes: frozenset[tuple[int, ...]] = frozenset()
    """Of the tensors that a port may have taken for another: modules' outputs of these shapes are kept."""
    inner: dict[tuple[str, int, int], Tensor] = field(default_factory=dict)
    """They, of all modules inside, those within held ones too, by path, call and number."""
    labels: dict[int, str] = field(default_factory=dict)
    """What a tensor is for people, by its id."""
    baseline: list[Tensor] = field(default_factory=list)
    """The watched tensors as the reference has them; there once the steps have been looked at."""
    ends: tuple[int | None, ...] = ()
    """Numbers of the steps that made the watched tensors."""
    work: int = 0
    """Elements that the runs have made so far."""
    _kept: Any = None
    _overwrites: int | None = None
    """The first step that overwrites what it is given, or is overwritten: from there on, nothing is given again."""

    def __post_init__(self) -> None:
        self.paths = {id(module): path for path, module in self.unit.named_modules()}
        self.args, self.kwargs = (_copied(value) for value in (self.args, self.kwargs))

    @cached_property
    def steps(self) -> list[Step]:
        """What the unit does. The first look at them runs it."""
        run = _Run(self, {}, recording=True)
        self._kept = _copied(self.args), _copied(self.kwargs)  # what steps hold stays, and so do their ids
        self.baseline = run.go(*self._kept)
        self.ends, self._overwrites = run.ends, run.first_overwritten()
        return run.steps

    @cached_property
    def relevant(self) -> list[Step]:
        """The steps that the watched tensors depend on, short of what is behind held layers."""
        steps, seen = self.steps, set()  # type: list[Step], set[int]
        waiting = [number for number in self.ends if number is not None]
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            if not (steps[number].name == CALL and self.is_held(steps[number])):
                waiting += [source for source in steps[number].sources if source is not None]
        paths = {steps[number].path for number in seen if steps[number].name == CALL}
        return [
            step
            for step in steps
            if step.number in seen
            or (step.name == CALL and (step.path in paths or any(one in seen for one in range(step.number, step.end))))
        ]

    def is_held(self, step: Step) -> bool:
        """Whether a call is of a layer that the port was given the output of."""
        return step.path in self.held.values()

    @property
    def tensors(self) -> list[Tensor]:
        """What the unit is given."""
        return tensors_of((self.args, self.kwargs))

    def run(
        self,
        edits: Mapping[int, Edit] | None = None,
        change: Callable[[list[Tensor]], list[Tensor]] | None = None,
        other: Callable[[Any], Any] | None = None,
        *,
        changes_unit: bool = False,
    ) -> list[Tensor]:
        """The watched tensors, where the steps in `edits` are done otherwise.

        `change` is of the tensors that the unit is given, `other` of each other argument. Steps before the first edit
        give what they gave, unless the unit itself was changed since.
        """
        args, kwargs = _copied(self.args), _copied(self.kwargs)
        if other is not None:
            args = tuple(other(value) for value in args)
            kwargs = {name: other(value) for name, value in kwargs.items()}
        if change is not None:
            args, kwargs = refill((args, kwargs), iter(change(flatten((args, kwargs)))))
        fresh = not edits or changes_unit or change is not None or other is not None
        first = 0 if fresh else min([*(edits or {}), *([] if self._overwrites is None else [self._overwrites])])
        return _Run(self, edits or {}, recording=False, first=first).go(args, kwargs)


class _Run(TorchFunctionMode):
    """One run of the unit; steps before the `first` to be done anew give what was recorded."""

    def __init__(self, replay: Replay, edits: Mapping[int, Edit], *, recording: bool, first: int = 0) -> None:
        super().__init__()
        self._first = first
        self._room = MOST_RECORDED
        self._versions: list[tuple[int, Tensor, int]] = []
        """Of tensors that steps were given and have made, which tell of their being overwritten."""
        self._replay, self._edits, self._recording = replay, edits, recording
        self.steps: list[Step] = []
        self._count, self._depth = 0, 0
        self._calls: dict[str, int] = {}
        self._given: dict[str, int] = {}
        self._stack: list[str] = []
        self._seen: list[Tensor] | None = None
        self.ends: tuple[int | None, ...] = ()
        self._made: dict[int, int] = {}

    def _label_given(self, given: list[Tensor]) -> None:
        labels = self._replay.labels
        for number, tensor in enumerate(given):
            labels[id(tensor)] = "its input" if len(given) == 1 else f"its input {number + 1}"
        for name, tensor in (*self._replay.unit.named_parameters(), *self._replay.unit.named_buffers()):
            labels[id(tensor)] = f"`{name}`"

    def go(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        watched = self._replay.watched
        if self._recording:
            self._label_given(tensors_of((args, kwargs)))
        try:
            with torch.no_grad(), _calls_through(self._call), self:
                output = self._replay.unit(*args, **kwargs)
        except _Seen:
            assert self._seen is not None
            return self._seen
        if self._seen is not None:
            return self._seen
        if (watched.path, watched.kind) != ("", "output"):
            raise LookupError(f"{watched.path} is not called")
        self._note_ends(output)
        return [tensor.clone() for tensor in tensors_of(output)]

    def _call(self, original: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        path = self._replay.paths.get(id(module))
        if path is None or self._depth:
            output = original(module, *args, **kwargs)
            if path is not None and self._recording:
                self._note_inner(path, output)
            return output
        number = self._calls.get(path, 0)
        if path and Watched(path, "input", number) == self._replay.watched:
            self._show((args, kwargs))
        if not path:
            output = self._enter(original, module, path, args, kwargs)
        elif id(module) in self._replay.held:
            output = self._call_held(original, module, path, args, kwargs)
        else:
            enter = lambda *given, **named: self._enter(original, module, path, given, named)  # noqa: E731
            output = self._step(CALL, path, enter, args, kwargs)
        if path and Watched(path, "output", number) == self._replay.watched:
            self._show(output)
        return output

    def _enter(self, original: Callable[..., Any], module: nn.Module, path: str, args: Any, kwargs: Any) -> Any:
        self._calls[path] = self._calls.get(path, 0) + 1
        self._stack.append(path)
        try:
            output = original(module, *args, **kwargs)
        finally:
            self._stack.pop()
        if self._recording and path:
            self._note_inner(path, output)
        return output

    def _call_held(self, original: Callable[..., Any], module: nn.Module, path: str, args: Any, kwargs: Any) -> Any:
        def give(*args: Any, **kwargs: Any) -> Any:
            number = self._calls.get(path, 0)
            self._calls[path] = number + 1
            if not self._recording and (path, number) in self._replay.memo:
                with self._apart():
                    return _copied(self._replay.memo[path, number])
            with self._apart():
                output = original(module, *args, **kwargs)
                if self._recording:
                    self._take_room(tensors_of(output))
                    self._replay.memo[path, number] = _copied(output)
                    self._note_inner(path, output)
            return output

        return self._step(CALL, path, give, args, kwargs)

    def _note_inner(self, path: str, output: Any) -> None:
        call = self._given[path] = self._given.get(path, -1) + 1
        with self._apart():
            for number, tensor in enumerate(tensors_of(output)):
                if tuple(tensor.shape) in self._replay.shapes:
                    self._replay.inner[path, call, number] = tensor.clone()

    def _show(self, value: Any) -> None:
        with self._apart():
            self._seen = [tensor.clone() for tensor in tensors_of(value)]
        if not self._recording:
            raise _Seen
        self._note_ends(value)

    def _note_ends(self, value: Any) -> None:
        self.ends = tuple(self._made.get(id(tensor)) for tensor in tensors_of(value))

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Within, nothing is a step."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = name_of_function(func)
        if self._depth or name in LOOKS:
            return func(*args, **(kwargs or {}))
        opened = open_function(name, args, kwargs or {})
        if opened is not None:
            with self:
                return opened()
        return self._step(name, self._stack[-1] if self._stack else "", func, args, kwargs or {})

    def _step(self, name: str, path: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        number = self._count
        if number < self._first and self._replay.steps[number].end <= self._first:
            return self._pass_over(self._replay.steps[number])
        self._count += 1
        edit = self._edits.get(number)
        if edit is not None:
            step = self._replay.steps[number]
            if step.name != name:
                raise LookupError("the edited unit goes another way")
            end = step.end
            if name == CALL:  # which gives the calls of this run
                step = Step(number, name, path, function, args, kwargs, None)
            edits, self._edits = self._edits, {}
            try:
                return edit(step, args, kwargs)
            finally:
                self._edits, self._count = edits, end  # whatever the edit has called
        if not self._recording:
            output = function(*args, **kwargs)
            weight = args[1] if len(args) > 1 and name in SUMMING else kwargs.get("weight")
            self._replay.work += count_work(weight, tensors_of(output))
            return output
        given = tensors_of([args, kwargs])
        versions = [tensor._version for tensor in given]
        sources = tuple(self._made.get(id(tensor)) for tensor in given)
        labels = tuple(self._replay.labels.get(id(tensor), "a constant") for tensor in given)
        place = len(self.steps)
        self.steps.append(Step(number, name, path, function, args, kwargs, None))
        output = function(*args, **kwargs)
        is_held = name == CALL and path in self._replay.held.values()
        if not is_held:
            self._versions += [(number, tensor, version) for tensor, version in zip(given, versions, strict=True)]
        self._versions += [(number, tensor, tensor._version) for tensor in tensors_of(output)]
        self._label(number, name, given, output, in_place=is_in_place(function))
        if name not in VIEWS:
            self._take_room(tensors_of(output))
        step = Step(number, name, path, function, args, kwargs, output, sources, self._count, labels)
        self.steps[place] = step
        return output

    def _take_room(self, tensors: list[Tensor]) -> None:
        self._room -= sum(tensor.numel() for tensor in tensors)
        if self._room < 0:
            raise TooLarge

    def first_overwritten(self) -> int | None:
        """The first step that was given, or made, what was overwritten then."""
        return min((number for number, tensor, version in self._versions if tensor._version != version), default=None)

    def _pass_over(self, step: Step) -> Any:
        """What a step gave, and those within it."""
        self._count = step.end
        for one in self._replay.steps[step.number : step.end]:
            if one.name == CALL:
                self._calls[one.path] = self._calls.get(one.path, 0) + 1
        return step.output

    def _label(self, number: int, name: str, given: list[Tensor], output: Any, *, in_place: bool) -> None:
        labels = self._replay.labels
        first = given[:1]
        if in_place and first:  # __setitem__ gives nothing
            self._made[id(first[0])] = number
        for tensor in tensors_of(output):
            if self._made.get(id(tensor), -1) < number:  # else by a step within
                self._made[id(tensor)] = number
            if name == CALL:
                labels[id(tensor)] = f"the output of `{self.steps[number].path}`"
            elif name in VIEWS and first:
                labels.setdefault(id(tensor), labels.get(id(first[0]), f"the result of {name}"))
            else:
                labels[id(tensor)] = f"the result of {name}" if given else "a constant"


def _copied(value: Any) -> Any:
    """With tensors of its own."""
    return refill(value, iter([one.clone() if isinstance(one, Tensor) else one for one in flatten(value)]))


@contextmanager
def _calls_through(call: Callable[..., Any]) -> Iterator[None]:
    """Within, every call of a torch module goes through `call(original, module, args, kwargs)`."""
    original = nn.Module.__call__

    def through(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return call(original, module, args, kwargs)

    nn.Module.__call__ = through  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
