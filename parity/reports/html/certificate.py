"""The certificate's page: gates, curves of the training gate, and the environment, in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from converter.files.atomic import staged
from converter.names import count
from parity.environment.describe import list_facts
from parity.reports.html.render import TEMPLATES

PAGE = "certificate.html"
WIDTH, HEIGHT = 640, 220


def write_page(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write `certificate.html` into `folder` from the content of certificate.json."""
    path = folder / PAGE
    with staged(path) as (temporary,):
        temporary.write_text(render(content), encoding="utf-8")
    return path


def render(content: Mapping[str, Any]) -> str:
    """The page, which needs nothing but itself."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "facts": list_facts, "reasons": list_reasons, "counted": count}
    curves = {name: values for name, values in content["curves"].items() if values and None not in values}
    return environment.get_template("certificate.html.j2").render(
        content=content,
        summary=summarise(content["gates"]),
        curves=draw(curves),
        ticks=ticks(curves),
        width=WIDTH,
        height=HEIGHT,
    )


def summarise(gates: Sequence[Mapping[str, Any]]) -> str:
    """How many gates have each verdict, and which failed or did not run."""
    verdicts = [gate["verdict"] for gate in gates]
    parts = [f"{verdicts.count('passed')} of {len(gates)} gates passed"]
    for verdict in ("failed", "not run"):
        names = [gate["name"] for gate in gates if gate["verdict"] == verdict]
        parts += [f"{len(names)} {verdict}: {', '.join(names)}"] if names else []
    left = verdicts.count("not asked for")
    return "; ".join(parts + ([f"{left} not asked for"] if left else []))


def list_reasons(gate: Mapping[str, Any]) -> list[str]:
    """Why the gate of this entry failed, line by line: cause, proof and change; or what was measured."""
    cause, tried = gate.get("cause"), gate.get("tried")
    if cause is None and not tried:
        return []
    if cause is None:
        what = "1 hypothesis tried, it does not repeat" if tried == 1 else f"{tried} hypotheses tried, none repeats"
        return [f"cause not found: {what} it", *(f"measured: {fact}" for fact in gate["facts"])]
    proof = "read off both sides"
    if cause["proved"]:
        proof = "proved: with this change the reference's side passes the gate's own tests against the port"
    if cause["residual"] is not None:
        proof = f"proved: with this change the reference's side repeats the port's numbers to {cause['residual']:.0e}"
    return [f"cause: {cause['text']}", proof, f"change: {cause['fix']}"]


def draw(curves: Mapping[str, Sequence[float]]) -> list[dict[str, str]]:
    """`{"name", "points"}` of each curve, on one scale, as SVG polyline points."""
    if not curves:
        return []
    low, high = _range(curves)
    return [
        {
            "name": name,
            "points": " ".join(
                f"{WIDTH * step / max(len(values) - 1, 1):.1f},{HEIGHT * (high - value) / (high - low):.1f}"
                for step, value in enumerate(values)
            ),
        }
        for name, values in curves.items()
    ]


def ticks(curves: Mapping[str, Sequence[float]]) -> list[str]:
    """The greatest and the least loss."""
    return [f"{value:.3g}" for value in reversed(_range(curves))] if curves else []


def figure(value: float | None) -> str:
    """For people; empty for none."""
    if value is None:
        return ""
    return f"{value:g}" if math.isfinite(value) and value == int(value) and abs(value) < 1e6 else f"{value:.1e}"


def _range(curves: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    values = [value for curve in curves.values() for value in curve]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
