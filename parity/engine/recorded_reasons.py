"""From what failed against a recording to why, as far as the recording says it (`parity.causes.recorded`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity.causes.facts import measure_facts
from parity.causes.recorded.explain import explain_recorded, list_differences
from parity.causes.recorded.layers import NAMES
from parity.causes.recorded.results import Question
from parity.causes.settings import find_difference
from parity.causes.source import find_line
from parity.engine.stream import Key
from parity.engine.witness import Fault
from parity.networks.modules import ModuleInfo
from parity.networks.recorded import Recording, Sample
from parity.pairing.match import WeightMatch
from parity.verdicts.report import ATTRIBUTES_SITE, OUTPUT_SITE, Cause, Guilty

Array = np.ndarray[Any, Any]
BUILT = {*NAMES, "momentum", "dropout rate", "kind of dropout", "bias missing", "bias added"}
"""Names of causes that are mended where the layer is built."""
MOST_UNEXPLAINED = 8
"""Layers that all hypotheses are tried on in vain: the others are seldom explained then."""
MOST_KNOWN = 48
"""Tensors recorded before that are looked at, the nearest first."""


@dataclass(frozen=True)
class RecordedReasons:
    """Finds the causes of guilty layers in the float64 pass called `variant` of a `recording`.

    `theirs` are the port's modules, live or recorded.
    """

    recording: Recording
    faults: Sequence[Fault]
    matched: WeightMatch
    theirs: Mapping[str, ModuleInfo]
    variant: str = ""

    def find(self, guilty: Sequence[Guilty]) -> list[Guilty]:
        """The same, with causes."""
        found: list[Guilty] = []
        for one in guilty:
            in_vain = sum(other.cause is None for other in found)
            found.append(one if in_vain >= MOST_UNEXPLAINED else self._explained(one))
        return found

    def _explained(self, guilty: Guilty) -> Guilty:
        if guilty.site == ATTRIBUTES_SITE:
            found = find_difference(self.recording.modules[guilty.path], self.theirs[guilty.port])
            read = None if found is None else Cause(name=found.name, text=found.text, fix=found.fix)
            return replace(guilty, cause=self._placed(guilty, read))
        faults = [
            fault
            for fault in self.faults
            if (fault.layer.path, fault.layer.call, fault.layer.site) == (guilty.path, guilty.call, guilty.site)
        ]
        first_call = min((fault.key.call for fault in faults), default=0)
        faults = [fault for fault in faults if fault.key.call == first_call]
        questions = [asked for fault in faults if (asked := self._ask(fault)) is not None]
        if not questions:
            return guilty
        questions.sort(key=lambda asked: asked.actual.size)
        cause, tried = explain_recorded(questions)
        if cause is not None:
            return replace(guilty, cause=self._placed(guilty, cause), tried=tried)
        first = questions[0]
        measured = measure_facts(first.expected, first.actual, next(iter(first.given), None))
        return replace(guilty, tried=tried, facts=(*list_differences(first), *measured))

    def _placed(self, guilty: Guilty, cause: Cause | None) -> Cause | None:
        """The cause, with the line of the user's file that is to be changed, where the port is there."""
        if cause is None:
            return None
        line = find_line(self.theirs, guilty.port, built=bool(BUILT & set(cause.name.split(" and "))))
        return replace(cause, fix=f"{cause.fix} ({line})") if line else cause

    def _ask(self, fault: Fault) -> Question | None:
        layer = fault.layer
        events = self._events(layer.input)
        if layer.dtype != "float64" or fault.key not in events or layer.output >= len(fault.tensors):
            return None
        expected = self._arrays(events[fault.key])
        if expected is None or layer.output >= len(expected) or isinstance(fault.tensors[layer.output], Sample):
            return None
        entered = events.get(Key("input", layer.path, layer.call))
        is_own = layer.site == OUTPUT_SITE  # else it is the code between layers
        reference = self.recording.modules.get(layer.path) if is_own else None
        port = self.theirs.get(layer.port) if is_own else None
        names = {m.port[1]: m.reference[1] for m in self.matched.matches if m.port[0] == layer.port}
        tensors = {} if port is None else port.tensors
        return Question(
            expected=expected[layer.output],
            actual=np.asarray(fault.tensors[layer.output]),
            given=() if entered is None else self._arrays(entered) or (),
            known=lambda shape: self._known(layer.input, fault.key, shape),
            reference=reference,
            port=port,
            own={names[name]: array for name, array in tensors.items() if name in names},
            added={name: array for name, array in tensors.items() if name not in names},
        )

    def _events(self, name: str) -> dict[Key, Mapping[str, Any]]:
        events = self.recording.events(name, "float64", self.variant)
        return {Key(event["kind"], event["path"], event["call"]): event for event in events}

    def _arrays(self, event: Mapping[str, Any]) -> tuple[Array, ...] | None:
        """None in a recording of digests."""
        found = self.recording.tensors(event["tensors"])
        return None if any(isinstance(one, Sample) for one in found) else found

    def _known(self, name: str, key: Key, shape: tuple[int | None, ...]) -> Iterator[tuple[str, Array]]:
        """The outputs of a shape (None: of any size) that were recorded before `key`, each once, the nearest first."""
        events = self._events(name)
        before = list(events)[: list(events).index(key)]
        seen = set(events[key]["tensors"])
        for other in reversed(before):
            entries = events[other]["tensors"]
            if other.kind != "output" or len(entries) != 1 or entries[0] in seen or len(seen) >= MOST_KNOWN:
                continue
            described = self.recording.index["tensors"][entries[0]]
            own = described["shape"]
            fits = len(own) == len(shape) and all(two in (None, one) for one, two in zip(own, shape, strict=True))
            if described["whole"] and fits:
                seen.add(entries[0])
                yield other.path + (f", call {other.call + 1}" if other.call else ""), self.recording.array(entries[0])
