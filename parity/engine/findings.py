"""What passes find, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from parity.engine.boundaries import CALLS, Boundaries, Failure, Trialled
from parity.engine.follow import Sink
from parity.engine.stream import Key
from parity.engine.witness import Witness
from parity.verdicts.classes import Classes, count_equal
from parity.verdicts.comparison import name_dtype
from parity.verdicts.incumbents import judge
from parity.verdicts.report import Layer
from twins.lazy import Tensor


@dataclass
class Findings:
    """What one comparison found.

    `unmatched` and `leftover` are calls that only the port or only the reference makes: the reference's path and number
    -> name of the call. `verdicts` are what other tools would have said of the outputs, `classes` what these choose.
    """

    layers: list[Layer] = field(default_factory=list)
    unmatched: dict[tuple[str, int], str] = field(default_factory=dict)
    leftover: dict[tuple[str, int], str] = field(default_factory=dict)
    verdicts: list[dict[str, bool]] = field(default_factory=list)
    classes: list[Classes] = field(default_factory=list)

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            [*self.layers, *other.layers],
            self.unmatched | other.unmatched,
            self.leftover | other.leftover,
            [*self.verdicts, *other.verdicts],
            [*self.classes, *other.classes],
        )

    @property
    def failing(self) -> list[Layer]:
        """The comparisons that failed."""
        return [layer for layer in self.layers if not layer.comparison]

    @property
    def failures(self) -> set[Failure]:
        """Everything that is wrong."""
        calls = {Failure(path, call, CALLS, "") for path, call in (*self.unmatched, *self.leftover)}
        return calls | {failure(layer) for layer in self.failing}

    @property
    def trialled(self) -> Trialled:
        """The failures, and those that cannot even be measured."""
        misshapen = {failure(layer) for layer in self.failing if math.isinf(layer.comparison.relative)}
        return Trialled(self.failures, misshapen)


def failure(layer: Layer) -> Failure:
    """What a comparison that failed is known by from one pass to the next."""
    return Failure(layer.path, layer.call, layer.site, layer.input)


class Stop(Exception):  # noqa: N818 - no error
    """Ends a pass at its first failure."""


class Reporter:
    """Notes in `found` what the passes show of the chosen modules."""

    def __init__(
        self,
        found: Findings,
        chosen: Collection[str],
        *,
        fail_fast: bool,
        sink: Sink | None,
        witness: Witness | None = None,
    ) -> None:
        self.found, self._chosen, self._fail_fast, self._sink = found, frozenset(chosen), fail_fast, sink
        self._witness = witness

    def add(self, layer: Layer) -> None:
        if layer.path not in self._chosen:
            return
        self.found.layers.append(layer)
        if self._fail_fast and not layer.comparison:
            raise Stop

    def keep(self, layer: Layer, key: Key, tensors: list[Tensor], called: Collection[str]) -> None:
        """Keep what the port gave where it failed."""
        if self._witness is not None:
            self._witness.keep(layer, key, tensors, called)

    def note_held(self, name: str, boundaries: Boundaries, calls: Collection[str]) -> None:
        """Keep which of the reference's outputs the port's layers were replaced by."""
        if self._witness is not None:
            self._witness.note_held(name, boundaries, calls)

    def show(self, layer: Layer, actual: Tensor, expected: Tensor) -> None:
        """Judge the network's outputs as other tools would, and by the classes they choose; pass every output on."""
        counted = count_equal(actual, expected) if layer.path == "" else None
        if counted is not None:
            equal, total = counted
            self.found.classes.append(
                Classes(output=layer.output, input=layer.input, dtype=layer.dtype, equal=equal, total=total)
            )
        if layer.path == "" and layer.dtype == name_dtype(actual) == name_dtype(expected) == "float32":
            self.found.verdicts.append(judge(actual, expected))
        if self._sink is not None:
            self._sink(layer, actual, expected)
