"""The result of a comparison of two networks, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from converter.names import count
from parity.environment.describe import describe_environment
from parity.verdicts.classes import Classes
from parity.verdicts.comparison import Comparison

INPUT_SITE = "input of "
"""What the site of a probe begins with that is an input; the path of the layer it was handed to follows."""
OUTPUT_SITE = "output"
ATTRIBUTES_SITE = "attributes"
"""Site of what no output in evaluation shows, read off both layers."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One probe: output number `output` of call number `call` of the module at `path`, on one input.

    `site` is "output", or says which layer's input the module handed on (isolated mode, failures only); `stretch` is
    then the port's code between two layers that it came from. `port` is the port's path of the module.
    """

    path: str
    call: int
    output: int
    input: str
    shape: tuple[int, ...]
    mode: str
    dtype: str
    comparison: Comparison
    site: str = OUTPUT_SITE
    port: str = ""
    stretch: str = ""

    @property
    def name(self) -> str:
        """For people: the path, and which call where it is not the first."""
        return (self.path or "(network)") + (f", pass {self.call + 1}" if self.call else "")

    def to_json(self) -> dict[str, Any]:
        """The probe's coordinates and its comparison's figures, flat; a figure that is not finite is null."""
        entry = {**asdict(self), **asdict(self.comparison)}
        del entry["comparison"]
        return {key: _finite(value) for key, value in entry.items()}


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was compared, and what was not.

    `uncovered` are layers and parameters of which too little is seen, `uncalled` paired modules that no pass reached,
    `redrawn` those whose boundaries the port draws elsewhere, `uninfluential` parameters on which no output depends.
    `accepted` are names of gaps the user takes responsibility for.
    """

    paired: tuple[str, ...]
    unpaired_reference: tuple[str, ...] = ()
    unpaired_port: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    uncalled: tuple[str, ...] = ()
    redrawn: tuple[str, ...] = ()
    uninfluential: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    origin: str = "path"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a layer differs: `text` says what the port does, beside the reference, `fix` what to write instead.

    `proved`: with that one change the reference's own layer repeats the port's output, to `residual` of the RMS on
    every input, where it differs by `before` as it is. Else it was read off both layers, and no output in evaluation
    shows it.
    """

    name: str
    text: str
    fix: str
    residual: float | None = None
    proved: bool = False
    before: float | None = None

    @property
    def evidence(self) -> str:
        """How it is known, for people."""
        if not self.proved or self.residual is None or self.before is None:
            return "read off both layers; no output in evaluation shows it"
        as_it_is = f"differs by {self.before:.1e} of its RMS as it is" if math.isfinite(self.before) else "as it is not"
        repeats = f"the reference's own layer repeats the port's output to {self.residual:.0e}"
        return f"proved: with this change {repeats}; {as_it_is}"

    def to_json(self) -> dict[str, Any]:
        """The figures that are finite, else null."""
        return {key: _finite(value) for key, value in asdict(self).items() if key != "before"}


@dataclass(frozen=True, kw_only=True)
class Guilty:
    """A layer that is itself wrong: from equal inputs and with equal layers inside, it differs.

    `cause` is why, where it was found; else `tried` hypotheses did not repeat the port's output, there was no time for
    the `untried`, and `facts` are what was measured of the difference.
    """

    path: str
    call: int
    dtype: str
    site: str
    reason: str
    port: str = ""
    stretch: str = ""
    cause: Cause | None = None
    tried: int = 0
    untried: int = 0
    facts: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """One sentence for people, in the port's names, and the reference's where they are others."""
        where = f"{name_both(self.port, self.path)}{_pass(self.call)}"
        if self.site == ATTRIBUTES_SITE:
            return f"{where}: {self.reason}: the layer itself is wrong"
        if self.site == OUTPUT_SITE:
            return f"{where}: its output {self.reason}, although it was given torch's input: the layer itself is wrong"
        return (
            f"{where}: what it hands to the {self.site} {self.reason}, although all before it was made equal: "
            f"its own code is wrong, {self.stretch}"
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it differs, line by line, for people: cause, proof and change; or what was measured."""
        if self.cause is not None:
            return f"cause: {self.cause.text}", self.cause.evidence, f"change: {self.cause.fix}"
        if not self.tried + self.untried:
            return ()
        tried = f"{self.tried} of {self.tried + self.untried}" if self.untried else f"{self.tried}"
        return f"cause not found: {tried} hypotheses tried, none repeats it", *(
            f"measured: {fact}" for fact in self.facts
        )

    def to_json(self) -> dict[str, Any]:
        """With the sentence, and the cause or null."""
        cause = None if self.cause is None else self.cause.to_json()
        return {**asdict(self), "sentence": self.sentence, "cause": cause, "facts": list(self.facts)}


def name_both(port: str, reference: str) -> str:
    """The port's path of a module, and the reference's where it is another; `port` may be unknown."""
    if port in ("", reference):
        return reference or "(network)"
    return f"{port} (reference: {reference or '(network)'})"


@dataclass(frozen=True, kw_only=True)
class Report:
    """True if everything compared agreed, and nothing stayed uncompared that was not accepted."""

    layers: tuple[Layer, ...]
    coverage: Coverage
    guilty: tuple[Guilty, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the comparison took for equal: conventions, and scalars that are one number in float32 alone."""
    scalars: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(path, attribute) of the reference's modules -> the number of the same float32 that it was compared with."""
    outputs_agree: bool | None = None
    """Whether the networks' outputs do although something failed; None where nothing asked."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """"reference" and "port" -> `{"name", "sha256", "of"}` of their weights: of a file, or of their own tensors."""
    classes: tuple[Classes, ...] = ()
    """How far the networks' outputs choose the same classes."""
    incumbents: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=describe_environment)

    def __bool__(self) -> bool:
        return not self.failures and not self.problems and not self.guilty

    @property
    def failures(self) -> list[Layer]:
        """The probes that did not agree, in the order of execution."""
        return [layer for layer in self.layers if not layer.comparison]

    @property
    def first_divergence(self) -> Layer | None:
        """The first wrong probe: isolated before free, since it is the culprit and not the victim."""
        isolated = [layer for layer in self.failures if layer.mode == "isolated"]
        return next(iter([*isolated, *self.failures]), None)

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        if self.outputs_agree and self.guilty:
            layers = count(len(self.guilty), "layer", " differs by itself", " differ by themselves")
            return (
                f"the networks' outputs agree, yet {layers}: no output shows it "
                f"on these inputs, or the pairing is wrong (--mapping): {self.guilty[0].sentence}"
            )
        if self.guilty:
            more = f" ({len(self.guilty) - 1} more)" if len(self.guilty) > 1 else ""
            return self.guilty[0].sentence + more
        if self.problems:
            return self.problems[0]
        first = self.first_divergence
        if first is not None:
            return f"{first.name} ({first.mode}, {first.dtype}, {first.input}): {first.comparison.reason}"
        modules = count(len(self.coverage.paired), "module")
        return f"both frameworks agree in all {count(len(self.layers), 'comparison')} of {modules}"

    def to_json(self) -> dict[str, Any]:
        """The contract of `ccnet-parity --json`."""
        first = self.first_divergence
        return {
            "passed": bool(self),
            "summary": self.summary,
            "first_divergence": first
            and {"path": first.path, "call": first.call, "mode": first.mode, "dtype": first.dtype},
            "guilty": [guilty.to_json() for guilty in self.guilty],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "coverage": _coverage_json(self.coverage),
            "layers": [layer.to_json() for layer in self.layers],
            "weights": dict(self.weights),
            "files": {side: dict(file) for side, file in self.files.items()},
            "classes": [asdict(one) for one in self.classes],
            "pairs": dict(self.pairs),
            **self.settings,
            "incumbents": dict(self.incumbents),
            "environment": dict(self.environment),
        }


def _coverage_json(coverage: Coverage) -> dict[str, Any]:
    """With the two sides called by their frameworks."""
    names = {"unpaired_reference": "unpaired_torch", "unpaired_port": "unpaired_paddle"}
    return {names.get(key, key): value for key, value in asdict(coverage).items()}


def _pass(call: int) -> str:
    ordinals = {0: "", 1: ", second pass", 2: ", third pass"}
    return ordinals.get(call, f", pass {call + 1}")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
