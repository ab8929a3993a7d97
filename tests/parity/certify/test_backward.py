"""Gate "backward" on ports that draw, call and drop otherwise than the reference: right ones without an alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.certify.gates.backward import run
from parity.certify.subject import Subject
from tests.parity.certify.cases import check_of, make_subject, outcome_of
from twins.standin import make_state_dict, save_state_dict

PORT = "tests.parity.certify.abn_port:"


@pytest.fixture(scope="module")
def in_place(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Against the official reference, whose norms overwrite their inputs and add up their scales."""
    folder = tmp_path_factory.mktemp("in_place")
    save_state_dict(folder / "official.pth", make_state_dict(depth=18))
    return make_subject(
        folder,
        reference="tests.parity.official_reference:build",
        source=folder / "official.pth",
        port=PORT + "build",
        parts={name: f"tests.parity.certify.own_parts:{name}" for name in ("loss", "optimiser")},
        size=(33, 49),
    )


@pytest.mark.parametrize("gate", ["optimiser", "regularisation", "backward", "training"])
def test_an_in_place_reference_with_signed_scales(gate: str, in_place: Subject) -> None:
    outcome = outcome_of(gate, in_place)
    assert outcome, outcome.reason
    if gate == "regularisation":
        assert any("35 scales are |weight| + 1e-05 on one side" in remark for remark in outcome.remarks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backward")


def test_dropout_by_a_function(folder: Path) -> None:
    outcome = outcome_of("backward", make_subject(folder, port=PORT + "build_dropping_channels", size=(33, 49)))
    assert outcome, outcome.reason


def test_dropout_of_another_kind_by_a_function(folder: Path) -> None:
    outcome = outcome_of("backward", make_subject(folder, port=PORT + "build_dropping_elements", size=(33, 49)))
    assert outcome.verdict == "failed"
    assert "head.dropout: elements" in outcome.reason
    assert check_of(outcome, "parameters")


def test_an_isolated_accusation_alone_is_a_doubt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all gradients agree as they come."""
    from parity.certify.gates import backward

    monkeypatch.setattr(backward, "_replay", lambda sides, calls, upstream: (0.5, calls[0].name))
    evidence = run(make_subject(folder, size=(33, 49)))
    assert all(evidence.checks)
    assert any("the harness's own doubt" in remark for remark in evidence.remarks)
