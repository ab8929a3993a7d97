"""What a port does otherwise than its reference, as Markdown: every figure of a certificate that is beyond its limit.

text = render_differences(json.loads(Path("certificate.json").read_text()))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from converter.files.atomic import staged
from converter.names import count
from parity.reports.alignment.page import code, text
from parity.reports.html.certificate import figure, list_reasons, summarise

DIFFERENCES = "differences.md"


def write_differences(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `differences.md` into a folder that there is, from the content of certificate.json."""
    with staged(folder / DIFFERENCES) as (path,):
        path.write_text(render_differences(content), encoding="utf-8")


def render_differences(content: Mapping[str, Any]) -> str:
    """The page: a section for each gate that failed or did not run, in the gates' order. What comes from files and
    networks is escaped."""
    versions = content["environment"].get("versions", {})
    name = Path(str(content["target"]["name"])).name
    lines = [
        f"# What {code(name)} does otherwise than the {content['family']} reference",
        "",
        f"Every figure beyond its limit, gate by gate: `ccnet-parity certify`, R = {content['recurrence']}, "
        f"ResNet-{content['depth']}, {count(content['num_classes'], 'class')}, Paddle {versions.get('paddlepaddle')}.",
        "",
        f"**{content['verdict'].capitalize()}**: {text(summarise(content['gates']))}.",
        *(f"\n{text(note).capitalize()}." for note in content.get("notes", ())),
    ]
    for gate in content["gates"]:
        if gate["verdict"] == "failed":
            lines += ["", f"## {gate['name'].capitalize()}", "", *_failed(gate, content["details"][gate["name"]])]
        elif gate["verdict"] == "not run":
            lines += ["", f"## {gate['name'].capitalize()}", "", f"Not run: {text(gate['reason'])}."]
    return "\n".join(lines) + "\n"


def _failed(gate: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    if gate.get("code"):
        yield f"The port's code: {text(gate['code']['port'])}."
        yield ""
    for reason in list_reasons(gate):
        yield f"- {text(reason)}"
    if gate.get("cause"):
        yield ""
    yield "| figure | measured | limit | where, and both values |"
    yield "| --- | --- | --- | --- |"
    for check in details["checks"]:
        if not check["passed"]:
            measured = figure(check["measured"]) or "infinite"
            yield f"| {text(check['name'])} | {measured} | {figure(check['limit'])} | {text(check['detail'])} |"
