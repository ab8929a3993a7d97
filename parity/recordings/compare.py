"""Two recordings, of a port and of its reference, as one process would have compared them; no framework is needed.

Both ran free, so the port's layers were not given the reference's inputs. But a layer that was given what the
reference's was, and made something else of it, is itself wrong all the same; and where a layer is first handed
something else although all before it agrees, the code between is. What comes after a fault is its victim, not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter.names import count
from parity.engine.boundaries import Boundaries, Call, draw_boundaries
from parity.engine.harness import compare_attributes_of, find_guilty, put_in_order
from parity.engine.problems import open_gaps
from parity.engine.recorded_reasons import RecordedReasons
from parity.engine.search import activated
from parity.engine.stream import Key
from parity.engine.witness import Fault
from parity.engine.writing import sample
from parity.errors import ParityInputError
from parity.networks.recorded import Recording, Sample, open_recording
from parity.pairing.match import compare_weights, match_port
from parity.pairing.propose import Pairing
from parity.verdicts.classes import Classes, count_equal
from parity.verdicts.comparison import Comparison, compare, failed, rejudge
from parity.verdicts.report import INPUT_SITE, OUTPUT_SITE, Coverage, Layer, Report

Array = np.ndarray[Any, Any]
Events = dict[Key, Mapping[str, Any]]
PRECISIONS = ("float64", "float32")


def compare_recordings(
    port_folder: Path, reference_folder: Path, mapping: Mapping[str, str] | None = None, accept: Sequence[str] = ()
) -> Report:
    """Compare what `record --port` and `record --reference` wrote.

        report = compare_recordings(Path("port"), Path("reference"))

    `mapping`: the reference's path -> the port's. `accept`: globs of names whose gap is accepted.
    Raises ParityInputError if either is another's or they ran on other inputs, InputError if a file is damaged.
    """
    port, reference = open_recording(port_folder, "port"), open_recording(reference_folder, "reference")
    _check_inputs(port, reference)
    pairing, weights = match_port(reference, port, mapping, given=True)
    matched = compare_weights(reference.modules, port.modules, pairing)
    variant = _choose_variant(port, reference, pairing)
    runs = [
        _Run(port, reference, pairing, name, dtype, variant if dtype == "float64" else "")
        for dtype in PRECISIONS
        for name in reference.inputs
    ]
    for run in runs:
        run.compare()
    layers = [layer for run in runs for layer in run.layers]
    seen = {layer.path for layer in layers}
    redrawn = {path for run in runs for path in run.redrawn}
    attributes = compare_attributes_of(pairing.pairs, reference.modules, port.modules)
    guilty = put_in_order([*find_guilty(layers), *attributes], layers)
    reasons = RecordedReasons(reference, [one for run in runs for one in run.faults], matched, port.modules, variant)
    return Report(
        layers=tuple(layers),
        coverage=Coverage(
            paired=tuple(path for path in pairing.pairs if path in seen),
            unpaired_reference=_once(pairing.unpaired_reference, [run.missing for run in runs]),
            unpaired_port=_once(pairing.unpaired_port, [run.extra for run in runs]),
            uncovered=pairing.uncovered,
            ambiguous=pairing.ambiguous,
            redrawn=tuple(path for path in pairing.pairs if path in redrawn),
            uninfluential=reference.uninfluential,
            accepted=tuple(accept),
            origin=pairing.origin,
        ),
        guilty=tuple(reasons.find(guilty)),
        problems=tuple(_problems(port, reference, pairing, weights, runs, accept)),
        notes=tuple(_notes(port, reference, variant)),
        weights=weights,
        pairs=pairing.pairs if pairing.origin != "path" else {},
        settings={"reference": reference.name, "port": port.name},
        files={"reference": reference.index["weights"], "port": port.index["weights"]},
        classes=tuple(one for run in runs for one in run.classes),
        environment={**port.index["environment"], "versions": _versions(reference, port)},
    )


@dataclass
class _Run:
    """One input in one precision."""

    port: Recording
    reference: Recording
    pairing: Pairing
    name: str
    dtype: str
    variant: str
    layers: list[Layer] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """What the guilty layers gave, and the reference's in their place."""
    redrawn: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    classes: list[Classes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._boundaries: Boundaries = draw_boundaries(self.pairing)
        self._expected = _by_key(self.reference.events(self.name, self.dtype, self.variant))
        self._actual = _by_key(self.port.events(self.name, self.dtype))
        exact = _by_key(self.reference.events(self.name, "float64")) if self.dtype == "float32" else {}
        self._exact: Events = exact
        self._order = list(self._expected)

    def compare(self) -> None:
        """Compare all outputs; then say which layers are wrong by themselves."""
        found: dict[Key, list[Layer]] = {}
        for key in self._actual:
            if key.kind == "output":
                layers = self._outputs(key)
                if layers:
                    found[key] = layers
        outputs = found.get(Key("output", "", 0), [])
        agree = bool(outputs) and all(layer.comparison for layer in outputs)
        for key, layers in found.items():
            wrong = not all(layer.comparison for layer in layers)
            if wrong and (self._is_elsewhere(key) or (agree and not self._is_weighty(key))):
                self.redrawn.add(layers[0].path)
            else:
                self.layers += layers
        self.layers = [layer for layer in self.layers if layer.path not in self.redrawn]
        if self.dtype == "float64" and not agree:
            self.layers += self._find_guilty(found)
        called = {(self._boundaries.name(key.path), key.call) for key in self._actual if key.kind == "output"}
        for key in self._expected:
            paired = key.path in self.pairing.pairs and key.kind == "output" and self._has_weights(key.path)
            if paired and (key.path, key.call) not in called:
                self.missing.append(f"{key.path} #{key.call}")

    def _outputs(self, key: Key) -> list[Layer]:
        expected = self._boundaries.exit(Call(key.path, key.call))
        if expected is None:
            return []
        if expected not in self._expected:
            if self._has_weights(expected.path):
                self.extra.append(f"{key.path} #{key.call}")
            return []
        actual = self._tensors(self.port, self._actual[key])
        wanted = self._tensors(self.reference, self._expected[expected])
        if len(actual) != len(wanted):
            comparison = failed(f"{count(len(actual), 'tensor')}, the reference has {len(wanted)}")
            return [self._layer(key, 0, (), comparison, "free")]
        truths = [None] * len(wanted)
        if expected in self._exact:
            truths = list(self._tensors(self.reference, self._exact[expected]))
        layers = []
        for number, (one, two, truth) in enumerate(zip(actual, wanted, truths, strict=True)):
            comparison = rejudge(_compare(one, two, truth), self._floor(expected, number))
            layers.append(self._layer(key, number, _shape(two), comparison, "free"))
            counted = None if expected.path or isinstance(one, Sample) else count_equal(one, two)
            if counted is not None:
                equal, total = counted
                self.classes.append(Classes(output=number, input=self.name, dtype=self.dtype, equal=equal, total=total))
        return layers

    def _find_guilty(self, found: Mapping[Key, list[Layer]]) -> Iterator[Layer]:
        """Layers with weights that were handed the reference's input and gave something else; before them, whose code
        first handed on something else."""
        callers: list[Call] = []
        ended, wrong = "", False
        for key in self._actual:
            call = Call(key.path, key.call)
            if key.kind == "input":
                if not wrong and self._has_weights(self._boundaries.name(key.path)) and key.path:
                    comparison = self._input(key)
                    if comparison is not None and not comparison:
                        wrong = True
                        yield self._accuse(callers, key, comparison, ended, found)
                callers.append(call)
                continue
            callers.pop()
            if key not in found or not self._is_weighty(key) or not self.port.modules[key.path].is_leaf:
                continue
            given = self._input(Key("input", key.path, key.call))
            bad = [layer for layer in found[key] if not layer.comparison]
            if bad and given and not self._is_elsewhere(key):
                wrong = True
                yield self._faulty(bad[0], key)
            ended = f"`{key.path}`, call {key.call + 1}"
        if not wrong:
            whole = Key("output", "", 0)
            yield from (self._faulty(one, whole) for one in found.get(whole, []) if not one.comparison)

    def _accuse(
        self, callers: list[Call], key: Key, comparison: Comparison, ended: str, found: Mapping[Key, list[Layer]]
    ) -> Layer:
        """A module without weights that was handed what it should and gave something else, or else the caller."""
        for other, layers in found.items():
            if other == key:
                break
            given = self._input(Key("input", other.path, other.call))
            bad = [layer for layer in layers if not layer.comparison]
            if bad and given and not self._has_weights(layers[0].path) and self.port.modules[other.path].is_leaf:
                return self._faulty(bad[0], other)
        caller = callers[-1] if callers else Call("", 0)
        entry = self._boundaries.entry(Call(key.path, key.call))
        stretch = f"between your {ended or 'the network input'} and your `{key.path}`, call {key.call + 1}"
        site = f"{INPUT_SITE}{entry.path if entry else key.path}"
        layer = self._layer(Key("output", caller.path, caller.number), 0, (), comparison, "isolated")
        return self._faulty(replace(layer, site=site, stretch=stretch), key, entry)

    def _faulty(self, layer: Layer, key: Key, expected: Key | None = None) -> Layer:
        """The layer as one that answers for itself; what the port gave at `key` is kept for those who ask why."""
        expected = expected or self._boundaries.exit(Call(key.path, key.call))
        guilty = replace(layer, mode="isolated")
        if expected is not None:
            self.faults.append(Fault(guilty, expected, self._tensors(self.port, self._actual[key])))
        return guilty

    def _input(self, key: Key) -> Comparison | None:
        """How what a module was handed compares with what the reference's was; None if that is not known."""
        expected = self._boundaries.entry(Call(key.path, key.call))
        if expected is None or expected not in self._expected or key not in self._actual:
            return None
        actual = self._tensors(self.port, self._actual[key])
        wanted = self._tensors(self.reference, self._expected[expected])
        if len(actual) != len(wanted):
            return None
        compared = [_compare(*pair, None, constant=True) for pair in zip(actual, wanted, strict=True)]
        floors = [value for value in (self._floor(one, 0) for one in self._before(expected)) if value is not None]
        judged = [rejudge(one, max(floors, default=None)) for one in compared]
        return next((one for one in judged if not one), judged[0] if judged else None)

    def _before(self, key: Key) -> list[Key]:
        """The output that ended last before an event of the reference."""
        position = self._order.index(key)
        return [one for one in self._order[max(0, position - 2) : position] if one.kind == "output"]

    def _is_elsewhere(self, key: Key) -> bool:
        """Whether a layer ends elsewhere than the reference's: what it gives is among what follows there, or is made
        that by an activation in the port's code."""
        expected = self._boundaries.exit(Call(key.path, key.call))
        if expected is None or expected not in self._expected or not self.port.modules[key.path].is_leaf:
            return False
        actual = self._tensors(self.port, self._actual[key])
        wanted = self._tensors(self.reference, self._expected[expected])
        if len(actual) != 1 or len(wanted) != 1 or _shape(actual[0]) != _shape(wanted[0]):
            return False
        start = self._order.index(expected) + 1
        for coming in self._order[start:]:
            tensors = self._tensors(self.reference, self._expected[coming])
            if len(tensors) == 1 and _shape(tensors[0]) == _shape(actual[0]) and _compare(actual[0], tensors[0], None):
                return True
            if coming.kind == "input" and self._has_weights(coming.path):
                break
        if isinstance(actual[0], Sample) or not self._is_weighty(key):
            return False
        module = self.reference.modules[expected.path].module
        return any(bool(_compare(made, wanted[0], None)) for made in activated(module, actual[0]))

    def _is_weighty(self, key: Key) -> bool:
        """Whether a pair must correspond: the network, and layers with parameters."""
        return not key.path or self._has_weights(self._boundaries.name(key.path))

    def _has_weights(self, path: str) -> bool:
        info = self.reference.modules.get(path)
        return info is not None and info.is_leaf and bool(info.tensors)

    def _floor(self, key: Key, output: int) -> float | None:
        return self.reference.floors.get((self.name, self.dtype, key.path, key.call, output))

    @staticmethod
    def _tensors(recording: Recording, event: Mapping[str, Any]) -> tuple[Any, ...]:
        return recording.tensors(event["tensors"])

    def _layer(self, key: Key, output: int, shape: tuple[int, ...], comparison: Comparison, mode: str) -> Layer:
        return Layer(
            path=self._boundaries.name(key.path),
            call=key.call,
            output=output,
            input=self.name,
            shape=shape,
            mode=mode,
            dtype=self.dtype,
            comparison=comparison,
            site=OUTPUT_SITE,
            port=key.path,
        )


def _once(names: Sequence[str], more: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*names, *(name for listed in more for name in listed)]))


def _versions(*recordings: Recording) -> dict[str, str]:
    """Of both machines; of what both have, the port's."""
    found: dict[str, str] = {}
    for recording in recordings:
        found |= recording.index["environment"].get("versions", {})
    return found


def _by_key(events: list[Mapping[str, Any]]) -> Events:
    return {Key(event["kind"], event["path"], event["call"]): event for event in events}


def _compare(actual: Any, expected: Any, truth: Any, *, constant: bool = False) -> Comparison:
    """Of arrays, or at the places that were kept of either."""
    if _shape(actual) != _shape(expected):
        return failed(f"shape {_shape(actual)}, expected {_shape(expected)}")
    if any(isinstance(one, Sample) for one in (actual, expected, truth)):
        actual, expected = _sampled(actual), _sampled(expected)
        truth = None if truth is None else _sampled(truth)
    return compare(actual, expected, truth, constant=constant)


def _sampled(value: Any) -> Array:
    return value.values if isinstance(value, Sample) else sample(value)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape)


def _check_inputs(port: Recording, reference: Recording) -> None:
    for name, arguments in reference.inputs.items():
        other = port.inputs.get(name)
        same = other is not None and all(
            one.shape == two.shape and one.dtype == two.dtype and one.tobytes() == two.tobytes()
            for one, two in zip(arguments.tensors, other.tensors, strict=False)
        )
        if not same or other is None or len(other.tensors) != len(arguments.tensors):
            raise ParityInputError(
                f"{port.folder}: was not recorded on the input {name} of {reference.folder}; record both with the same "
                "--input-size, --inputs and --seed"
            )


def _choose_variant(port: Recording, reference: Recording, pairing: Pairing) -> str:
    """The float64 pass in which fewest layers fail: scalars that are one number in float32 are no mistake."""
    counts = {}
    for variant in ("", *reference.variants):
        runs = [_Run(port, reference, pairing, name, "float64", variant) for name in reference.inputs]
        for run in runs:
            run.compare()
        counts[variant] = sum(not layer.comparison for run in runs for layer in run.layers)
        if not counts[variant]:
            return variant
    return min(counts, key=lambda variant: counts[variant])


def _problems(
    port: Recording,
    reference: Recording,
    pairing: Pairing,
    weights: Mapping[str, Any],
    runs: list[_Run],
    accept: Sequence[str],
) -> Iterator[str]:
    different = weights.get("different", ())
    if different:
        more = f", … {len(different) - 3} more" if len(different) > 3 else ""
        way = "" if port.index["loaded"] else "; the port was recorded without weights: record it with --port-weights"
        differ = count(len(different), "weight", " differs", " differ")
        yield f"{differ} from the reference's: {', '.join(different[:3])}{more}{way}"
    if not any(run.layers for run in runs):
        yield "nothing was compared"
    yield from (f"{names}: equal now, they train apart" for names in weights.get("untied", ()))
    yield from open_gaps(
        {
            "uncovered": pairing.uncovered,
            "ambiguous": pairing.ambiguous,
            "left": tuple(dict.fromkeys(name for run in runs for name in run.missing)),
            "added": tuple(dict.fromkeys(name for run in runs for name in run.extra)),
            "dead": reference.dead,
        },
        accept,
    )


def _notes(port: Recording, reference: Recording, variant: str) -> Iterator[str]:
    yield "both sides were recorded running free: layers answer for themselves up to the first fault, and beside it"
    if not (port.is_whole and reference.is_whole):
        yield "inside the network, samples were compared: a recording of digests has no more"
    if variant:
        yield f"{reference.describe(variant)}, which is the same in float32"
