"""What an alignment report says, in no language yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from parity.environment.describe import list_facts
from parity.environment.switches import TF32_VARIABLE
from parity.reports.html.probes import NETWORK, badness, figure, limit_of, runs_of, stage_of
from parity.verdicts.report import OUTPUT_SITE, Cause, Layer, Report, name_both

Verdict = Literal["passed", "guilty", "problem", "differs", "certified", "not certified", "incomplete", "gates passed"]
SITES = {"output": "output", "attributes": "attributes"}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One network: its name, and the weights it had, if they are known."""

    side: str
    name: str
    weights: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of the networks in one precision: the greatest figures over all inputs."""

    name: str
    dtype: str
    max_abs: str
    relative: str
    noise_ratio: str
    classes: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of the network: figures of its worst layer by (mode, dtype), in the order of the subject's `runs`."""

    name: str
    probes: int
    worst: str
    figures: Sequence[str]
    failures: int


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """A layer that is itself wrong; `site` is "output", "attributes" or "input"; `cause` why, where that is known."""

    name: str
    site: str
    reason: str
    stretch: str = ""
    cause: Cause | None = None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate of a certificate; `verdict` is "passed", "failed", "not run" or "not asked for"."""

    name: str
    verdict: str
    measured: str
    limit: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Everything that the page says."""

    verdict: Verdict
    counts: tuple[int, ...] = ()
    """What the verdict counts: comparisons and modules, or gates."""
    sentence: str = ""
    """The report's own summary."""
    sides: Sequence[Side] = ()
    copied: bool = False
    facts: Sequence[str] = ()
    """The environment in a line; `settings` have all of it."""
    inputs: Sequence[str] = ()
    runs: Sequence[tuple[str, str]] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    outputs: Sequence[Output] = ()
    stages: Sequence[Stage] = ()
    gates: Sequence[Gate] = ()
    culprits: Sequence[Culprit] = ()
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    gaps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Sequence[tuple[str, str]] = ()
    command: str = ""


def describe_report(report: Report, command: str = "") -> Subject:
    """What a comparison of two networks found; `command` is the line that makes it again."""
    environment, runs = report.environment, runs_of(report)
    settings = [(name, str(value)) for name, value in report.settings.items() if value is not None]
    return Subject(
        verdict=_judge(report),
        counts=(len(report.layers), len(report.coverage.paired)),
        sentence=report.summary,
        sides=_sides(report),
        copied=bool(report.weights.get("copied")),
        facts=_facts(environment, report.settings.get("device")),
        inputs=tuple(dict.fromkeys(layer.input for layer in report.layers)),
        runs=runs,
        limits={dtype: limit_of(dtype, has_truth=_has_truth(report, dtype)) for _, dtype in runs},
        outputs=tuple(_outputs(report)),
        stages=tuple(_stages(report, runs)),
        culprits=[
            Culprit(
                name=name_both(guilty.port, guilty.path) + (f" #{guilty.call + 1}" if guilty.call else ""),
                site=SITES.get(guilty.site, "input"),
                reason=guilty.reason,
                stretch=guilty.stretch,
                cause=guilty.cause,
            )
            for guilty in report.guilty
        ],
        problems=report.problems,
        notes=(*report.weights.get("notes", ()), *report.notes),
        gaps=_gaps(report),
        settings=[*settings, *list_facts(environment)],
        command=command,
    )


def describe_certificate(content: Mapping[str, Any], command: str = "") -> Subject:
    """What a certificate says, of which `content` is the JSON."""
    environment, gates = content["environment"], content["gates"]
    verdict: Verdict = "gates passed" if content["verdict"].startswith("passed") else content["verdict"]
    wanted = {"not certified": "failed", "incomplete": "not run", "gates passed": "passed"}.get(verdict)
    counted = sum(gate["verdict"] == wanted for gate in gates)
    sides = {"reference": "source", "port": "target"}
    return Subject(
        verdict=verdict,
        counts=(len(gates),) if wanted is None else (counted, len(gates)),
        sides=[
            Side(
                side=side,
                name=str(content.get(side) or (side == "port" and content.get("config")) or content["family"]),
                weights=_file(content[file]),
            )
            for side, file in sides.items()
        ],
        facts=_facts(environment, environment.get("device")),
        gates=[
            Gate(
                name=gate["name"],
                verdict=gate["verdict"],
                measured=figure(gate["measured"]),
                limit=figure(gate["limit"]),
                reason=gate["reason"],
            )
            for gate in gates
        ],
        settings=[
            *((name, str(value)) for name, value in content["settings"].items() if value is not None),
            *list_facts(environment),
        ],
        command=command,
    )


def _file(described: Mapping[str, Any]) -> dict[str, str] | None:
    """As a report has it; None of weights that are in no file and have no digest."""
    if described.get("sha256") is None:
        return None
    return {"name": str(described["name"]), "sha256": str(described["sha256"]), "of": "file"}


def _judge(report: Report) -> Verdict:
    if report:
        return "passed"
    return "guilty" if report.guilty else "problem" if report.problems else "differs"


def _sides(report: Report) -> list[Side]:
    weights = report.weights
    twin = " ".join(
        [str(weights.get("family", "")), f"ResNet-{weights['depth']}" if "depth" in weights else ""]
    ).strip()
    return [
        Side(side=side, name=str(report.settings.get(side) or twin or "—"), weights=report.files.get(side))
        for side in ("reference", "port")
    ]


def _facts(environment: Mapping[str, Any], device: str | None) -> list[str]:
    versions, flags = environment.get("versions", {}), environment.get("flags", {})
    on_gpu = device == "gpu"
    threads = environment.get("threads")
    return [
        *(f"{name} {version}" for name, version in versions.items()),
        str(environment.get("gpu") or "GPU") if on_gpu else "CPU",
        *([f"OMP_NUM_THREADS={threads}"] if threads else []),
        f"TF32 {'on' if _allows_tf32(environment) else 'off'}" if on_gpu else "no TF32 on a CPU",
        *(f"{name}={value}" for name, value in flags.items() if name.startswith("FLAGS_")),
    ]


def _allows_tf32(environment: Mapping[str, Any]) -> bool:
    """Whether any product on a GPU may be TF32's."""
    if environment.get("flags", {}).get(TF32_VARIABLE) == "0":
        return False
    switches = environment.get("switches", {}).values()
    return any(on for names in switches for name, on in names.items() if name.startswith("tf32"))


def _has_truth(report: Report, dtype: str) -> bool:
    return any(layer.dtype == dtype and layer.comparison.noise_ratio is not None for layer in report.layers)


def _outputs(report: Report) -> list[Output]:
    """Of the free passes: what a user of the network sees."""
    groups: dict[tuple[int, str], list[Layer]] = {}
    for layer in report.layers:
        if layer.path == "" and layer.mode == "free" and layer.site == OUTPUT_SITE:
            groups.setdefault((layer.output, layer.dtype), []).append(layer)
    found = []
    for (number, dtype), layers in groups.items():
        made = [layer.comparison for layer in layers]
        ratios = [one.noise_ratio for one in made if one.noise_ratio is not None]
        chosen = [one for one in report.classes if (one.output, one.dtype) == (number, dtype)]
        equal, total = sum(one.equal for one in chosen), sum(one.total for one in chosen)
        found.append(
            Output(
                name=str(number + 1),
                dtype=dtype,
                max_abs=figure(max(one.max_abs for one in made)),
                relative=figure(max(one.relative for one in made)),
                noise_ratio=f"{figure(max(ratios))} ×" if ratios else "",
                classes=f"{equal:,} / {total:,}" if total else "",
                passed=all(made),
            )
        )
    return found


def _stages(report: Report, runs: Sequence[tuple[str, str]]) -> list[Stage]:
    groups: dict[str, list[Layer]] = {}
    for layer in report.layers:
        groups.setdefault(stage_of(layer.path), []).append(layer)
    found = []
    for name, layers in groups.items():
        worst = max(layers, key=_share)
        figures = [_figure([layer for layer in layers if (layer.mode, layer.dtype) == run]) for run in runs]
        found.append(
            Stage(
                name=name,
                probes=len({(layer.path, layer.call, layer.output) for layer in layers}),
                worst=worst.name if worst.path else NETWORK,
                figures=figures,
                failures=sum(not layer.comparison for layer in layers),
            )
        )
    return found


def _share(layer: Layer) -> tuple[bool, bool, float]:
    """What is itself wrong before its victims, then by the share of the limit: float64 and float32 have others."""
    failed, needed = badness(layer)
    return (
        failed and layer.mode == "isolated",
        failed,
        needed / limit_of(layer.dtype, has_truth=layer.comparison.noise_ratio is not None),
    )


def _figure(layers: Sequence[Layer]) -> str:
    if not layers:
        return ""
    worst = max(layers, key=badness).comparison
    return figure(worst.relative) if worst.noise_ratio is None else f"{figure(worst.noise_ratio)} ×"


def _gaps(report: Report) -> dict[str, Sequence[str]]:
    coverage = report.coverage
    names = ("unpaired_reference", "unpaired_port", "uncovered", "ambiguous", "uncalled", "redrawn", "uninfluential")
    found = {name: getattr(coverage, name) for name in (*names, "accepted")}
    return {name: listed for name, listed in found.items() if listed}
