"""The certificate: its keys, its verdict, what it speaks of, and what a changed one is worth."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from converter.console import PlainConsole
from converter.errors import InputError
from parity.certify.catalogue import GATES
from parity.certify.certificate import Certificate, judge, read_certificate, verify, write_certificate
from parity.certify.gate import Check, Evidence, NotRunError, Outcome, not_run, run_gate
from parity.certify.tables import print_certificate, summarise
from parity.errors import ParityInputError
from parity.reports.html.certificate import list_reasons, render, write_page
from parity.verdicts.found import Found
from parity.verdicts.report import Cause
from tests.parity.certify.cases import gate_of


def check(measured: float = 0.5, limit: float = 1.0, **other: Any) -> Check:
    return Check(**{"name": "a check", "reason": "why", "detail": "here", **other}, measured=measured, limit=limit)


def passed(name: str) -> Outcome:
    return run_gate(gate_of(lambda subject: Evidence(checks=[check()], curves={"torch": [2.0, 1.0]}), name), None)


def make_certificate(target: Path | None = None, *, replaced: dict[str, Outcome] | None = None) -> Certificate:
    outcomes = [(replaced or {}).get(name, passed(name)) for name in GATES]
    digest = "0" * 64
    if target is not None:
        from converter.files import file_digest

        digest = file_digest(target)
    subject = {
        "source": {"name": "official.pth", "sha256": "1" * 64},
        "target": {"name": "out.pdparams", "sha256": digest},
        "family": "official",
        "recurrence": 2,
        "depth": 101,
        "num_classes": 19,
        "port": None,
    }
    return Certificate(subject=subject, outcomes=outcomes, settings={"steps": 20, "cityscapes": None})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "out.pdparams"
    path.write_bytes(b"weights")
    return path


def test_keys() -> None:
    content = json.loads(json.dumps(make_certificate().to_json()))
    assert content["verdict"] == "certified"
    assert {"source", "target", "family", "recurrence", "gates", "environment", "date"} <= content.keys()
    assert {"versions", "threads", "flags"} <= content["environment"].keys()
    assert [gate["name"] for gate in content["gates"]] == list(GATES)
    assert all(
        list(g) == ["name", "verdict", "measured", "limit", "reason", "seconds", "code", "cause", "tried", "facts"]
        for g in content["gates"]
    )


@pytest.mark.parametrize("measured", [math.nan, math.inf, 1.0000001])
def test_a_figure_beyond_its_limit_fails(measured: float) -> None:
    outcome = run_gate(gate_of(lambda subject: Evidence(checks=[check(), check(measured, name="bad")])), None)
    assert outcome.verdict == "failed"
    assert outcome.reason.startswith("bad: here; limit: why")
    assert json.dumps(outcome.to_json(), allow_nan=False)


def test_the_worst_passing_check_speaks() -> None:
    outcome = run_gate(gate_of(lambda subject: Evidence(checks=[check(0.1), check(0.9), check(0.0, 0.0)])), None)
    assert outcome
    assert outcome.measured == 0.9


def test_a_gate_that_cannot_run_is_no_pass() -> None:
    def refuse(subject: Any) -> Evidence:
        raise NotRunError("no GPU")

    for outcome in (run_gate(gate_of(refuse), None), run_gate(gate_of(lambda subject: Evidence(checks=[])), None)):
        assert outcome.verdict == "not run"
        assert outcome.measured is None
        assert not outcome
    assert run_gate(gate_of(refuse), None).reason == "no GPU"


def test_verdicts() -> None:
    failed = run_gate(gate_of(lambda subject: Evidence(checks=[check(2.0)]), "loss"), None)
    skipped = not_run("training", "skipped")
    assert make_certificate(replaced={"loss": failed}).verdict == "not certified"
    assert make_certificate(replaced={"training": skipped}).verdict == "incomplete"
    assert make_certificate(replaced={"loss": failed, "training": skipped}).verdict == "not certified"
    assert make_certificate()
    assert not make_certificate(replaced={"training": skipped})


def test_a_missing_gate_is_incomplete() -> None:
    gates = make_certificate().to_json()["gates"]
    assert judge(gates) == "certified"
    assert judge(gates[:-1]) == "incomplete"
    assert judge([]) == "incomplete"


def test_verify(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "certificate.json"
    write_certificate(path, make_certificate(weights).to_json())
    found = verify(path, weights)
    assert found
    assert found.role == "target"
    weights.write_bytes(b"other weights")
    other = verify(path, weights)
    assert not other
    assert other.role is None
    assert "does not speak of" in other.sentence


def test_verify_an_incomplete_certificate(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "certificate.json"
    content = make_certificate(weights, replaced={"metric": not_run("metric", "skipped")}).to_json()
    write_certificate(path, content)
    found = verify(path, weights)
    assert found.role == "target"
    assert not found
    assert "incomplete" in found.sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["gates"][3].update(verdict="failed"), "changed by hand"),
        (lambda content: content["gates"].pop(), "changed by hand"),
        (lambda content: content.update(verdict="fine"), "not a readable certificate"),
        (lambda content: content["gates"][0].pop("limit"), "not a readable certificate"),
        (lambda content: content.pop("gates"), "not a readable certificate"),
        (lambda content: content.update(target=None), "not a readable certificate"),
    ],
)
def test_a_changed_certificate_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    content = make_certificate().to_json()
    change(content)
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(content))
    with pytest.raises((InputError, ParityInputError), match=words):
        read_certificate(path)


@pytest.mark.parametrize("text", ["", "[]", "{", '"certified"', "null"])
def test_what_is_no_certificate(tmp_path: Path, text: str) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not a"):
        read_certificate(path)


def test_missing_files(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(InputError, match="not a readable certificate"):
        read_certificate(tmp_path / "none.json")
    path = tmp_path / "certificate.json"
    write_certificate(path, make_certificate().to_json())
    with pytest.raises(InputError, match="cannot read"):
        verify(path, tmp_path / "none.pdparams")


def test_page(tmp_path: Path) -> None:
    failed = run_gate(gate_of(lambda subject: Evidence(checks=[check(2.0, detail="<b>layer</b>")]), "loss"), None)
    content = make_certificate(replaced={"loss": failed}).to_json()
    page = write_page(tmp_path, content).read_text(encoding="utf-8")
    assert all(name in page for name in GATES)
    assert "NOT CERTIFIED" in page
    assert "<polyline" in page
    assert "&lt;b&gt;layer" in page
    assert "<b>layer" not in page
    assert "<polyline" not in render({**content, "curves": {"torch": [None, 1.0]}})


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    certificate = make_certificate(replaced={"metric": not_run("metric", "no pictures")})
    print_certificate(certificate)
    text = capsys.readouterr().out
    assert "INCOMPLETE" in text
    assert "no pictures" in text
    assert summarise(certificate) == "13 of 14 gates passed; 1 not run: metric"


def test_reasons_stand_below_the_table_in_60_columns() -> None:
    stream = io.StringIO()
    certificate = make_certificate(replaced={"metric": not_run("metric", "no pictures")})
    print_certificate(certificate, PlainConsole(file=stream, width=60, force_terminal=True))
    lines = stream.getvalue().splitlines()
    assert "metric: no pictures" in lines
    assert all(len(line) <= 60 for line in lines if "\x1b" not in line)


def test_the_cause_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cause = Cause(name="sum", text="it adds", fix="divide", residual=2e-15, proved=True, before=1.0)
    evidence = Evidence(checks=[check(2.0)], explain=lambda: Found(cause))
    certificate = make_certificate(replaced={"loss": run_gate(gate_of(lambda subject: evidence, "loss"), None)})
    print_certificate(certificate)
    text = capsys.readouterr().out
    assert "cause: it adds" in text
    assert "change: divide" in text
    assert "\\n" not in text
    write_certificate(tmp_path / "certificate.json", certificate.to_json())
    content = read_certificate(tmp_path / "certificate.json")
    assert next(gate["cause"] for gate in content["gates"] if gate["name"] == "loss") == cause.to_json()
    assert "cause: it adds" in write_page(tmp_path, content).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (
            Found(None, 7, ("it is twice",)),
            ["cause not found: 7 hypotheses tried, none repeats it", "measured: it is twice"],
        ),
        (
            Found(Cause(name="scales", text="a", fix="b", proved=True), 3),
            ["cause: a", "proved: with this change the reference's side passes the gate's own tests", "change: b"],
        ),
        (Found(Cause(name="windows", text="a", fix="b")), ["cause: a", "read off both sides", "change: b"]),
        (Found(), []),
    ],
    ids=["not found", "passes", "read", "not looked for"],
)
def test_how_a_cause_is_known(found: Found, lines: list[str]) -> None:
    evidence = Evidence(checks=[check(2.0)], explain=lambda: found)
    said = list_reasons(run_gate(gate_of(lambda subject: evidence, "loss"), None).to_json())
    assert len(said) == len(lines)
    assert all(own.startswith(line) for own, line in zip(said, lines, strict=True))
