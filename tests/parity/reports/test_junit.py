"""JUnit XML: a failure if and only if the report failed, and the guilty told from their victims."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from parity.reports.junit import make_certificate_suite, make_suite, make_verification_suite
from parity.verdicts.report import ATTRIBUTES_SITE, Coverage, Guilty, Report
from tests.cli.run import call
from tests.parity.made_reports import make_report

SPECS = "tests.parity.testing.networks:"


def kinds(suite: ElementTree.Element) -> dict[str, str]:
    """Name of each failing case -> the kind of its failure."""
    cases = ((case.get("name"), case.find("failure")) for case in suite.iter("testcase"))
    return {str(name): str(failure.get("type")) for name, failure in cases if failure is not None}


def test_every_probe_is_a_case_and_the_guilty_are_told_from_victims():
    report = make_report(healthy=False)[0]
    suite = make_suite(report)
    found = kinds(suite)
    probes = {(layer.path, layer.call, layer.output) for layer in report.layers}
    assert int(suite.get("tests", "")) == len(probes) + 1 == len(suite)
    assert int(suite.get("failures", "")) == len(found)
    assert {name.partition(",")[0] for name, kind in found.items() if kind == "guilty"} == {
        one.path for one in report.guilty
    }
    assert "victim" in found.values()


def test_gates_of_a_certificate():
    verdicts = {"weights": "passed", "loss": "failed", "metric": "not run", "training": "not asked for"}
    gates = [
        {"name": name, "verdict": verdict, "reason": f"why {name}", "seconds": 1.0}
        for name, verdict in verdicts.items()
    ]
    suite = make_certificate_suite({"gates": gates})
    assert kinds(suite) == {"loss": "failed", "metric": "not run"}
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["4", "2", "1"]
    assert suite.find("testcase[@name='loss']/failure").text == "why loss"


@pytest.mark.parametrize(
    ("other", "failing"),
    [
        ({}, []),
        ({"role": None}, ["the certificate speaks of this file"]),
        ({"verdict": "passed: 2 of 14 gates"}, ["it is certified"]),
        ({"changed": ["torch 2.6 is 2.7 now", "a.py"]}, ["nothing changed since"]),
    ],
)
def test_a_verification(other, failing):
    content = {"role": "target", "verdict": "certified", "sentence": "it speaks of it", "changed": [], **other}
    suite = make_verification_suite(content)
    assert list(kinds(suite)) == failing
    assert [suite.get(name) for name in ("tests", "failures")] == ["3", str(len(failing))]


def test_a_healthy_report_has_no_failure():
    suite = make_suite(make_report(healthy=True)[0])
    assert kinds(suite) == {}
    assert suite.get("failures") == "0"


def made(**parts: Any) -> Report:
    return Report(layers=(), coverage=Coverage(paired=()), **parts)


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        (made(problems=("nothing was compared",)), "problem"),
        (made(guilty=(Guilty(path="bn", call=0, dtype="", site=ATTRIBUTES_SITE, reason="momentum"),)), "guilty"),
    ],
)
def test_what_no_probe_shows_fails_too(report, kind):
    assert list(kinds(make_suite(report)).values()) == [kind]


def test_what_xml_cannot_say_is_replaced():
    suite = make_suite(made(problems=("a\x00<b>\x1b[31m & \ud800",)))
    text = ElementTree.tostring(suite, encoding="utf-8")
    (failure,) = ElementTree.fromstring(text).iter("failure")
    assert failure.text == "a\N{REPLACEMENT CHARACTER}<b>\N{REPLACEMENT CHARACTER}[31m & \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(("port", "code"), [("build_port", 0), ("build_wrong_port", 1)])
def test_the_command_writes_it(tmp_path, port, code):
    path = tmp_path / "new" / "junit.xml"
    words = ("--reference", f"{SPECS}build", "--port", SPECS + port, "--input-size", "9,7", "--junit", path)
    result = call("ccnet-parity", *words)
    assert result.returncode == code, result.stderr
    suite = ElementTree.parse(path).getroot()
    assert bool(kinds(suite)) == bool(code)
    assert code == 0 or kinds(suite)["bn"] == "guilty"
