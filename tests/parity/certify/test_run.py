"""Choosing gates, going on after an interruption, and what a gate's own fault does."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cityscapes.errors import DatasetError
from converter.errors import InputError
from parity.certify import run as module
from parity.certify.catalogue import GATES
from parity.certify.certificate import read_certificate
from parity.certify.gate import Check, Evidence, Gate, Outcome
from parity.certify.memory import PARTIAL
from parity.certify.run import Options, certify, choose
from parity.errors import ParityInputError


def options(folder: Path, **other: Any) -> Options:
    return Options(**{"depth": 18, "report": folder, "gates": ("weights", "learning rate"), **other})


def test_choose() -> None:
    assert choose((), ()) == list(GATES)
    assert choose(("loss", "weights"), ()) == ["weights", "loss"]
    assert choose((), ("loss",)) == [name for name in GATES if name != "loss"]
    assert choose(("loss",), ("loss",)) == []
    with pytest.raises(ParityInputError, match="no gate is called looss; there are weights, forward"):
        choose(("looss",), ())


def test_what_was_not_asked_for_is_not_run(tmp_path: Path) -> None:
    certificate = certify(options(tmp_path / "report"))
    assert certificate.verdict == "passed: 2 of 14 gates"
    content = read_certificate(tmp_path / "report" / "certificate.json")
    verdicts = {gate["name"]: gate["verdict"] for gate in content["gates"]}
    assert {name for name, verdict in verdicts.items() if verdict == "passed"} == {"weights", "learning rate"}
    assert set(verdicts.values()) == {"passed", "not asked for"}
    assert (tmp_path / "report" / "certificate.html").exists()
    assert not (tmp_path / "report" / PARTIAL).exists()
    assert content["source"]["sha256"] == content["target"]["sha256"]
    assert content["settings"]["steps"] == 20


def test_a_data_set_that_is_none_is_a_mistake_and_no_failure(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        certify(options(tmp_path / "report", cityscapes=tmp_path / "missing"))
    assert not list(tmp_path.iterdir())


BAD = Check(name="bad", measured=math.nan, limit=1.0, reason="why")


class KeyPressError(BaseException):
    """Stands for a key press."""


def interrupt_at(monkeypatch: pytest.MonkeyPatch, name: str, seen: list[str]) -> None:
    """Gates note that they run; the one called `name` is interrupted."""

    def noting(gate: Gate) -> Gate:
        def run(subject: Any) -> Evidence:
            seen.append(gate.name)
            if gate.name == name:
                raise KeyPressError
            return gate.run(subject)

        return replace(gate, run=run)

    monkeypatch.setattr(module, "GATES", {key: noting(gate) for key, gate in GATES.items()})


def test_goes_on_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    interrupt_at(monkeypatch, "learning rate", seen)
    with pytest.raises(KeyPressError):
        certify(options(tmp_path))
    assert (tmp_path / PARTIAL).exists()
    assert not (tmp_path / "certificate.json").exists()
    interrupt_at(monkeypatch, "", seen)
    told: list[Outcome] = []
    certificate = certify(options(tmp_path, on_outcome=told.append))
    assert seen == ["weights", "learning rate", "learning rate"]
    assert len(told) == len(GATES)
    assert {outcome.name for outcome in certificate.outcomes if outcome} == {"weights", "learning rate"}


def test_a_failure_is_remembered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    interrupt_at(monkeypatch, "learning rate", seen)
    failing = replace(module.GATES["weights"], run=lambda subject: Evidence(checks=[BAD]))
    monkeypatch.setitem(module.GATES, "weights", failing)
    with pytest.raises(KeyPressError):
        certify(options(tmp_path))
    interrupt_at(monkeypatch, "", seen)
    certificate = certify(options(tmp_path))
    assert seen == ["learning rate", "learning rate"]
    assert certificate.outcomes[0].verdict == "failed"
    assert math.isnan(certificate.outcomes[0].checks[0].measured)
    assert certificate.verdict == "not certified"


def test_another_subject_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    interrupt_at(monkeypatch, "learning rate", seen)
    subjects: list[dict[str, Any]] = [{}, {"seed": 1}, {"steps": 9}, {"recurrence": 1}, {"family": "mmseg"}]
    for other in subjects:
        with pytest.raises(KeyPressError):
            certify(options(tmp_path, **other))
    assert seen == ["weights", "learning rate"] * len(subjects)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"identity": 1, "outcomes": 2}'])
def test_a_damaged_memory_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    (tmp_path / PARTIAL).write_text(text)
    with pytest.raises(InputError, match="remove it to start anew"):
        certify(options(tmp_path, gates=("weights",)))


def test_a_gate_that_raises_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(subject: Any) -> Evidence:
        raise ValueError("some\nfault")

    monkeypatch.setattr(module, "GATES", {**GATES, "weights": replace(GATES["weights"], run=broken)})
    certificate = certify(options(tmp_path))
    first = certificate.outcomes[0]
    assert first.verdict == "not run"
    assert first.reason.startswith("raises ValueError: some fault (test_run.py:")
    assert certificate.outcomes[6]
    assert certificate.verdict == "incomplete"


def test_a_wrong_data_set_is_why(tmp_path: Path) -> None:
    for part in ("leftImg8bit", "gtFine"):
        (tmp_path / "none" / part).mkdir(parents=True)
    certificate = certify(options(tmp_path, gates=("validation data",), cityscapes=tmp_path / "none"))
    outcome = certificate.outcomes[2]
    assert outcome.verdict == "not run"
    assert "has no split 'val'" in outcome.reason


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"family": "imagenet"}, "is a backbone"),
        ({"family": "nobody"}, "unknown family"),
        ({"gates": ("nothing",)}, "no gate is called"),
        ({"port_weights": Path("some.pdparams")}, "belong to --port"),
        ({"port": "a:b", "target": Path("some.pdparams")}, "not both"),
    ],
)
def test_bad_input(tmp_path: Path, other: dict[str, Any], words: str) -> None:
    with pytest.raises(ParityInputError, match=words):
        certify(options(tmp_path, **other))


def test_a_port(tmp_path: Path) -> None:
    """A port whose names and nesting are its own; it has no dropout, which the backward gate must say."""
    gates = ("weights", "optimiser", "initialisation", "backward")
    certificate = certify(options(tmp_path, gates=gates, port="tests.parity.renamed_port:build"))
    verdicts = {outcome.name: outcome for outcome in certificate.outcomes}
    assert [verdicts[name].verdict for name in gates] == ["passed", "not run", "passed", "failed"]
    assert "head.dropout: the port has none" in verdicts["backward"].reason
    content = json.loads((tmp_path / "certificate.json").read_text())
    assert content["port"] == content["target"]["name"] == "tests.parity.renamed_port:build"
    assert content["verdict"] == "not certified"
