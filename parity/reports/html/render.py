"""A report as a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from converter.names import count
from parity.environment.describe import list_facts
from parity.reports.html.attention_maps import AttentionMaps
from parity.reports.html.charts import make_panel
from parity.reports.html.pictures import draw_attention
from parity.reports.html.probes import (
    NETWORK,
    Probe,
    badness,
    collect_probes,
    figure,
    limit_of,
    runs_of,
    split_stages,
)
from parity.verdicts.comparison import Comparison
from parity.verdicts.report import Layer, Report, name_both
from twins.namespaces import ROOT

TEMPLATES = [Path(__file__).parent, ROOT / "cityscapes" / "html"]
"""Ours, and those of the evaluation's page, whose base style this has."""
MOST_MEASUREMENTS = 12_000
"""In the page, about 1.2 MB. With more, the page has each probe's worst input only; the JSON has all."""

GAPS = {
    "unpaired_reference": ("only in the reference", "no counterpart in the port: not compared"),
    "unpaired_port": ("only in the port", "no counterpart in the reference: not compared"),
    "uncovered": ("uncovered", "layers or parameters that only one side has"),
    "ambiguous": ("ambiguous", "layers with several possible counterparts of equal weights"),
    "uncalled": ("never called", "paired, but no forward pass reached them"),
    "redrawn": ("drawn elsewhere", "the port has other boundaries there: compared in and around them instead"),
    "uninfluential": ("without influence", "parameters that no output depends on: a mistake in them cannot show"),
}
"""Field of the coverage -> its short name and what it means."""


def render(report: Report, attention: AttentionMaps | None = None) -> str:
    """The page, with styles, scripts, charts and pictures inside."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "breakable": breakable}
    probes, runs = collect_probes(report), runs_of(report)
    panels = [make_panel(probes, *run) for run in runs]
    return environment.get_template("report.html.j2").render(
        report=report,
        headline=headline(report),
        facts=_facts(report),
        first=report.first_divergence,
        guilty=_guilty(report, probes),
        probes=probes,
        runs=runs,
        panels=panels,
        stages=split_stages(probes),
        particulars=_particulars(report),
        network=NETWORK,
        gaps=_gaps(report),
        pixel=attention and attention.pixel,
        attention=draw_attention(attention) if attention else [],
        payload={**_payload(report, probes, runs), "heights": [panel.heights for panel in panels]},
    )


def headline(report: Report) -> str:
    """The verdict in one sentence, without figures."""
    names = list(dict.fromkeys(name_both(guilty.port, guilty.path) for guilty in report.guilty))
    if not names:
        return report.summary[:1].upper() + report.summary[1:]
    if len(names) == 1:
        return f"One layer is itself wrong: {names[0]}"
    return f"{len(names)} layers are themselves wrong, first {names[0]}"


def breakable(text: str) -> Markup:
    """`text`, escaped, with leave to break a line after the dots of a path."""
    return Markup(re.sub(r"\.(?=[a-z])", ".<wbr>", str(escape(text))))  # noqa: S704 - escaped


def _facts(report: Report) -> list[str]:
    """One-line facts: the network, and how much was compared."""
    weights, settings = report.weights, report.settings
    inputs = list(dict.fromkeys(layer.input for layer in report.layers))
    facts = [
        str(weights.get("family", "")),
        f"ResNet-{weights['depth']}" if "depth" in weights else "",
        count(weights["num_classes"], "class") if "num_classes" in weights else "",
        f"recurrence {settings['recurrence']}" if settings.get("recurrence") is not None else "",
        f"{count(len(report.layers), 'comparison')} of {count(len(report.coverage.paired), 'module')}",
        f"{'input' if len(inputs) == 1 else 'inputs'} {', '.join(inputs)}" if inputs else "no input",
        *(f"compared with {note}" for note in report.notes),
    ]
    return [fact for fact in facts if fact]


def _guilty(report: Report, probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """Guilty layers, each once, with the sentences of all its faults and its position among the probes."""
    positions = {(probe.path, probe.call): index for index, probe in reversed(list(enumerate(probes)))}
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for guilty in report.guilty:
        key = guilty.path, guilty.call
        entry = found.setdefault(key, {"position": positions.get(key), "name": "", "sentences": [], "reasons": []})
        position = entry["position"]
        entry["name"] = (guilty.path or NETWORK) if position is None else probes[position].name
        entry["sentences"].append(guilty.sentence)
        entry["reasons"] += guilty.reasons
    return list(found.values())


def _gaps(report: Report) -> list[dict[str, Any]]:
    """What was not compared, by kind, and which of it the user accepted."""
    coverage = report.coverage
    found = []
    for field, (title, meaning) in GAPS.items():
        names = getattr(coverage, field)
        accepted = [n for n in names if any(fnmatch(n.partition(" #")[0], glob) for glob in coverage.accepted)]
        found.append({"title": title, "meaning": meaning, "names": names, "accepted": accepted})
    return found


def _payload(report: Report, probes: Sequence[Probe], runs: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    """What the page's script shows of a probe that is clicked."""
    whole = len(report.layers) <= MOST_MEASUREMENTS
    truths = {(layer.mode, layer.dtype) for layer in report.layers if layer.comparison.noise_ratio is not None}
    first = report.first_divergence
    suspects = (first,) if first else ((max(report.layers, key=badness),) if report.layers else ())
    return {
        "whole": whole,
        "runs": [f"{dtype} {mode}" for mode, dtype in runs],
        "first": next((i for i, probe in enumerate(probes) for layer in suspects if layer in probe.layers), 0),
        "probes": [
            {
                "name": probe.name,
                "shape": "×".join(map(str, probe.shape)),
                "runs": [_measurements(probe, run, limit_of(run[1], has_truth=run in truths), whole) for run in runs],
            }
            for probe in probes
        ],
    }


def _measurements(probe: Probe, run: tuple[str, str], limit: float, whole: bool) -> list[list[str]]:
    """The worst input first."""
    layers = [layer for layer in probe.layers if (layer.mode, layer.dtype) == run]
    ranked = sorted(layers, key=badness, reverse=True)
    return [_row(layer, limit) for layer in (ranked if whole else ranked[:1])]


def _row(layer: Layer, limit: float) -> list[str]:
    """The cells of one measurement, in the order of the page's columns."""
    comparison = layer.comparison
    index = "(" + ", ".join(map(str, comparison.worst_index)) + ")" if comparison.max_abs else ""
    return [
        comparison.reason or ("" if comparison else "failed"),
        layer.input if layer.site == "output" else f"{layer.input}, {layer.site}",
        figure(comparison.required_tolerance),
        figure(limit),
        index,
        *map(figure, _figures(comparison)),
    ]


def _figures(comparison: Comparison) -> tuple[float | None, ...]:
    return (
        comparison.max_abs,
        comparison.mean_abs,
        comparison.relative,
        comparison.noise_floor,
        comparison.noise_ratio,
    )


def _particulars(report: Report) -> list[tuple[str, str]]:
    """Weights, settings and environment, one line each."""
    weights = report.weights
    lines = []
    if "tensors" in weights:
        different = weights["different"]
        equal = "all equal, bit for bit, after conversion"
        said = f"{len(different)} differ{'s' * (len(different) == 1)}" if different else equal
        lines.append(("weights", f"{count(weights['tensors'], 'tensor')}, {said}"))
    if weights.get("different"):
        lines.append(("different weights", ", ".join(weights["different"])))
    if "fold_rounding" in weights:
        lines.append(("rounding of folded scales", f"at most {figure(weights['fold_rounding'])} of themselves"))
    lines += [(name, str(value)) for name, value in report.settings.items() if value is not None]
    lines += list_facts(report.environment)
    return lines
