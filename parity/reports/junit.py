"""A comparison, a certificate or its verification as JUnit XML, which CI systems show: a case for each probe, gate or
question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from converter.files.atomic import staged
from parity.reports.html.probes import NETWORK, Probe, collect_probes
from parity.verdicts.report import Guilty, Report

SUITE = "ccnet-parity"
UNPRINTABLE = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What XML cannot say."""


def write_junit(path: Path, report: Report) -> None:
    """Write the report to `path`, whole or not at all. Raises InputError if that cannot be done."""
    _write(path, make_suite(report))


def write_certificate_junit(path: Path, content: Mapping[str, Any]) -> None:
    """Write a certificate, of which `content` is the JSON, to `path`. Raises InputError if that cannot be done."""
    _write(path, make_certificate_suite(content))


def write_verification_junit(path: Path, content: Mapping[str, Any]) -> None:
    """Write a verification, of which `content` is the JSON, to `path`. Raises InputError if that cannot be done."""
    _write(path, make_verification_suite(content))


def _write(path: Path, suite: ElementTree.Element) -> None:
    with staged(path) as (temporary,):
        ElementTree.ElementTree(suite).write(temporary, encoding="utf-8", xml_declaration=True)


def make_suite(report: Report) -> ElementTree.Element:
    """The `testsuite`; it has a failure if and only if the report failed."""
    suite = ElementTree.Element("testsuite", name=SUITE)
    guilty: dict[tuple[str, int], list[Guilty]] = {}
    for one in report.guilty:
        guilty.setdefault((one.path, one.call), []).append(one)
    for probe in collect_probes(report):
        case = _add_case(suite, probe.stage, probe.name)
        accused = guilty.pop((probe.path, probe.call), [])
        lines = [*map(_describe, accused), *_list_failures(probe)]
        if lines:
            _fail(case, "guilty" if accused else "victim", lines)
    for (path, _), accused in guilty.items():  # of which no output was compared
        _fail(_add_case(suite, "attributes", path or NETWORK), "guilty", [_describe(one) for one in accused])
    coverage = _add_case(suite, "coverage", "everything was compared")
    if report.problems:
        _fail(coverage, "problem", list(report.problems))
    return _counted(suite)


def make_certificate_suite(content: Mapping[str, Any]) -> ElementTree.Element:
    """The `testsuite` of a certificate: a gate that failed, or did not run, is a failure; others may be skipped."""
    suite = ElementTree.Element("testsuite", name=SUITE)
    for gate in content["gates"]:
        case = _add_case(suite, "certify", gate["name"])
        case.set("time", f"{gate['seconds']:.3f}")
        if gate["verdict"] in ("failed", "not run"):
            _fail(case, gate["verdict"], [gate["reason"]])
        elif gate["verdict"] != "passed":
            ElementTree.SubElement(case, "skipped", message=_printable(gate["verdict"]))
    return _counted(suite)


def make_verification_suite(content: Mapping[str, Any]) -> ElementTree.Element:
    """The `testsuite` of a verification: whether the certificate speaks of the file, certifies it, and still holds."""
    suite = ElementTree.Element("testsuite", name=SUITE)
    is_certified = content["verdict"] == "certified"
    asked = {
        "the certificate speaks of this file": [] if content["role"] else [content["sentence"]],
        "it is certified": [] if is_certified else [content["verdict"]],
        "nothing changed since": [f"changed since: {change}" for change in content["changed"]],
    }
    for name, lines in asked.items():
        case = _add_case(suite, "verify", name)
        if lines:
            _fail(case, "not verified", lines)
    return _counted(suite)


def _counted(suite: ElementTree.Element) -> ElementTree.Element:
    count = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "skipped")}
    numbers = {"tests": len(suite), "failures": count["failure"], "errors": 0, "skipped": count["skipped"]}
    suite.attrib |= {name: str(number) for name, number in numbers.items()}
    return suite


def _add_case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=_printable(group), name=_printable(name), time="0")


def _fail(case: ElementTree.Element, kind: str, lines: list[str]) -> None:
    failure = ElementTree.SubElement(case, "failure", type=kind, message=_printable(lines[0]))
    failure.text = _printable("\n".join(lines))


def _describe(guilty: Guilty) -> str:
    if guilty.cause is None:
        return guilty.sentence
    return f"{guilty.sentence}; cause: {guilty.cause.text}; change: {guilty.cause.fix}"


def _list_failures(probe: Probe) -> Iterator[str]:
    for layer in probe.layers:
        if not layer.comparison:
            yield f"{layer.mode}, {layer.dtype}, {layer.input}: {layer.site} {layer.comparison.reason}"


def _printable(text: str) -> str:
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
