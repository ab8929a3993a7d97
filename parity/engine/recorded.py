"""A reference that ran on another machine, in place of one that runs beside the port: no torch is needed.

The port is followed as ever. What enters and leaves the reference's layers comes from the recording, so that
isolated passes work; what would have to be run again, as with other scalars, is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from parity.engine.passes import Passes
from parity.engine.scalars import Scalars
from parity.engine.stream import Event, Key
from parity.engine.surroundings import as_written, evaluating, exact_in_float64
from parity.errors import ParityInputError
from parity.networks.modules import ModuleInfo
from parity.networks.recorded import Recording
from twins.tensors import ARRAYS


class RecordedReference:
    """The events of one recorded pass, taken as those of a running one are (`parity.engine.stream.Reference`)."""

    exchange = ARRAYS

    def __init__(
        self,
        recording: Recording,
        name: str,
        dtype: str,
        paths: Collection[str],
        *,
        isolated: bool,
        with_truth: bool,
        variant: str = "",
    ) -> None:
        self._recording, self._with_truth = recording, with_truth and dtype == "float32"
        kinds = ("input", "output") if isolated else ("output",)
        events = recording.events(name, dtype, variant)
        self._events = {
            _key(event): (number, event)
            for number, event in enumerate(events)
            if event["kind"] in kinds and event["path"] in paths
        }
        self._taken: set[Key] = set()
        exact = {} if isolated or not self._with_truth else {_key(e): e for e in recording.events(name, "float64")}
        self._exact: Mapping[Key, Mapping[str, Any]] = exact
        self._isolated = isolated

    def take(self, key: Key) -> Event | None:
        """The event with `key`, once; None if there is none."""
        event = self.peek(key)
        self._taken.add(key)
        return event

    def peek(self, key: Key) -> Event | None:
        """The same, which another may take."""
        return None if key in self._taken or key not in self._events else self._read(key)

    def look_ahead(self, start: Event, last: Callable[[Key], bool]) -> Iterator[Event]:
        """The events after `start` up to the one that is the `last`."""
        for key, (number, _) in self._events.items():
            if number > start.number:
                yield self._read(key)
                if last(key):
                    return

    def leftover(self) -> Iterator[Key]:
        """The keys of all events that were not taken."""
        return (key for key in self._events if key not in self._taken)

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, key: Key) -> Event:
        number, event = self._events[key]
        truth: Sequence[str] | None = None
        if self._with_truth:
            truth = event["truth"] if self._isolated else self._exact[key]["tensors"]
        return Event(
            key,
            self._recording.tensors(event["tensors"]),
            None if truth is None else self._recording.tensors(list(truth)),
            tuple(event["names"]),
            number,
        )


@dataclass
class _Chosen:
    """Which of the recorded float64 passes is taken: "" for the network as it is. Copies of the passes share it."""

    variant: str = ""


class RecordedPasses(Passes):
    """Runs the port against a recording, which is the `reference`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._chosen = _Chosen()

    @property
    def exact(self) -> Any:
        """The same recording: it has both precisions."""
        return self.reference

    @exact.setter
    def exact(self, value: Any) -> None:
        raise AttributeError("a recording is its own")

    @property
    def exact_modules(self) -> dict[str, ModuleInfo]:
        return self.recording.modules

    @property
    def variant(self) -> str:
        """The recorded float64 pass that is taken: "" for the network as it is."""
        return self._chosen.variant

    @property
    def recording(self) -> Recording:
        """The reference, as what it is."""
        recording: Any = self.reference
        return recording

    @contextmanager
    def in_eval_mode(self) -> Iterator[None]:
        """The port in evaluation mode, as it is written, and afterwards in the mode it had."""
        with ExitStack() as stack:
            stack.enter_context(evaluating(self.port))
            stack.enter_context(as_written())
            stack.enter_context(exact_in_float64(self._note))
            yield

    def _note(self, said: str) -> None:
        if said not in self.notes:
            self.notes.append(said)

    def find_uninfluential(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What was found when the reference was recorded."""
        return self.recording.uninfluential, self.recording.dead

    def find_convention(self) -> None:
        """See in which mode the port gives as many outputs as were recorded."""
        smallest = min(self.inputs.values(), key=lambda arguments: sum(array.size for array in arguments.tensors))
        self.convention = self._find_convention(smallest)
        self.convention.exchange = ARRAYS

    def write_out(self, scalars: Scalars, count: Callable[[], int], failures: int) -> None:
        """Take the pass that was recorded with the scalars written otherwise, if fewer fail then."""
        for variant in self.recording.variants:
            self._chosen.variant = variant
            left = count()
            if left < failures:
                scalars.notes[f"{self.recording.describe(variant)}, which is the same in float32"] = None
                return
        self._chosen.variant = ""

    def _to_cast(self, dtype: str) -> None:
        """A recording has both precisions."""

    def _count_expected(self, arguments: Any) -> tuple[int, bool]:
        return self.recording.index["outputs"], False

    def _condition(
        self, name: str, paths: Collection[str], errors: Mapping[str, float], dtype: str
    ) -> dict[tuple[str, int, int], float]:
        """As measured when it was recorded, with the least error after every layer: what the port's would make of it
        is not known."""
        return {
            (path, call, output): floor
            for (of, precision, path, call, output), floor in self.recording.floors.items()
            if (of, precision) == (name, dtype) and path in paths
        }

    def _open(self, name: str, dtype: str, paths: Collection[str], *, isolated: bool) -> Any:
        if not self.recording.events(name, dtype):
            raise ParityInputError(f"{self.recording.folder}: {dtype} was not recorded on {name}")
        return RecordedReference(
            self.recording,
            name,
            dtype,
            paths,
            isolated=isolated,
            with_truth=self.with_truth,
            variant=self._chosen.variant if dtype == "float64" else "",
        )


def _key(event: Mapping[str, Any]) -> Key:
    return Key(event["kind"], event["path"], event["call"])
