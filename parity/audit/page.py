"""The audit as a page of Markdown."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from parity.audit.findings import FINDINGS
from parity.audit.port import BothHeads, build, map_modules
from parity.engine.harness import compare_models
from parity.networks.inputs import DEFAULT_SIZES, make_images
from parity.pairing.match import match_port
from parity.verdicts.report import Report
from twins.build import build_torch
from twins.weights import standin_pair

RECURRENCE = 2


def run_audit(depth: int = 101) -> tuple[Report, BothHeads]:
    """Compare PaddleSeg's network, which is given the official twin's weights where they fit, module by module.

    In float64, each module from the official twin's input. Weights are stand-ins.
    """
    official = build_torch(standin_pair(seed=0, depth=depth), recurrence=RECURRENCE, device="cpu")
    port = build(depth, recurrence=RECURRENCE)
    pairing, weights = match_port(official, port, map_modules(depth))
    images = {"×".join(map(str, size)): make_images(size, seed=0) for size in DEFAULT_SIZES}
    report = compare_models(
        official, port, images, pairs=pairing, mode="isolated", dtypes=("float64",), weights=weights
    )
    return report, port


def render_page(report: Report, port: BothHeads, *, depth: int) -> str:
    """Markdown of every finding. Raises LookupError if the harness does not see one that it must."""
    rows = []
    for finding in FINDINGS:
        guilty = finding.find(report)
        rows.append((finding, guilty, finding.size(port, guilty)))
    accused = dict.fromkeys(guilty.path or "(network)" for guilty in report.guilty)
    template = Environment(  # noqa: S701 - Markdown, of this project's own words
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.md.j2")
    return template.render(rows=rows, accused=list(accused), report=report, depth=depth, recurrence=RECURRENCE)
