"""Parts that a porter names: taken as they are, never replaced by the toolkit's, right ones without an alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parity.certify.catalogue import GATES
from parity.certify.gate import Outcome
from parity.certify.parts.functions import read_parts
from parity.certify.subject import Subject
from parity.errors import ParityInputError
from tests.parity.certify.cases import make_subject, outcome_of

OWN = "tests.parity.certify.own_parts:"
PORT = "tests.parity.renamed_port:build"
GIVEN = {
    "preprocessing": OWN + "preprocess",
    "loss": OWN + "loss",
    "optimiser": OWN + "optimiser",
    "metric": OWN + "miou",
}
NEEDS = {
    "validation data": "preprocessing was not given (--preprocess or --config)",
    "metric": "metric was not given (--metric or --config)",
    "loss": "loss was not given (--loss or --config)",
    "optimiser": "optimiser was not given (--optimiser or --config)",
    "learning rate": "schedule was not given (--schedule or --config)",
    "regularisation": "regularisation was not given (--optimiser or --config)",
    "training data": "loader was not given (--loader or --config)",
    "training": "loss was not given (--loss or --config)",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def bare(folder: Path) -> Subject:
    return make_subject(folder, port=PORT, size=(33, 49))


def judge(folder: Path, gate: str, **parts: str) -> Outcome:
    """`gate` of the toolkit's twin with some parts of another's: what stands around the part costs no time."""
    return outcome_of(gate, make_subject(folder, size=(33, 49), parts=parts))


@pytest.mark.parametrize("gate", NEEDS)
def test_a_part_that_was_not_given_is_not_replaced(gate: str, bare: Subject) -> None:
    outcome = outcome_of(gate, bare)
    assert outcome.verdict == "not run"
    assert outcome.reason == f"the port's own {NEEDS[gate]}"


def test_every_gate_says_what_it_exercises() -> None:
    assert all(gate.exercises for gate in GATES.values())


@pytest.mark.parametrize(
    ("gate", "part"),
    [("validation data", "preprocessing"), ("metric", "metric"), ("loss", "loss"), ("optimiser", "optimiser")],
)
def test_given_parts_are_what_runs(gate: str, part: str, folder: Path) -> None:
    outcome = judge(folder, gate, **{part: GIVEN[part]})
    assert outcome, outcome.reason
    assert GIVEN[part].replace(":", ".") in outcome.code["port"]
    assert "(own_parts.py:" in outcome.code["port"]
    assert outcome.code["reference"] == "toolkit"


def test_the_twins_parts_are_the_toolkits(folder: Path) -> None:
    assert outcome_of("loss", make_subject(folder)).code == {"port": "toolkit", "reference": "toolkit"}


def test_training_runs_the_ports_own_parts(folder: Path) -> None:
    subject = make_subject(folder, port="tests.parity.official_port:build_inline", parts=GIVEN, size=(33, 49))
    outcome = outcome_of("training", subject)
    assert outcome, outcome.reason
    assert outcome.code["port"].count("own_parts.py") == 2


@pytest.mark.parametrize(
    ("gate", "parts"),
    [
        ("loss", {"loss": "Loss"}),
        ("loss", {"loss": "make_loss"}),
        ("optimiser", {"optimiser": "in_groups"}),
        ("regularisation", {"optimiser": "in_groups"}),
        ("learning rate", {"schedule": "schedule"}),
        ("learning rate", {"schedule": "rate_of"}),
        ("learning rate", {"optimiser": "optimiser"}),
        ("learning rate", {"optimiser": "momentum", "schedule": "schedule"}),
        ("metric", {"metric": "confusion"}),
    ],
    ids=str,
)
def test_equivalents_pass(gate: str, parts: dict[str, str], folder: Path) -> None:
    outcome = judge(folder, gate, **{name: OWN + function for name, function in parts.items()})
    assert outcome, outcome.reason


def test_an_optimiser_of_one_rate_has_no_schedule(folder: Path) -> None:
    subject = make_subject(folder, port=PORT, parts={"optimiser": OWN + "constant"})
    outcome = outcome_of("learning rate", subject)
    assert outcome.verdict == "not run"
    assert "the port's own schedule was not given" in outcome.reason


def test_classes_that_do_not_occur_may_count_as_nothing_or_as_zero(folder: Path) -> None:
    """As in cityscapesScripts, or as in the official evaluation and PaddleSeg; but not as one."""
    for name in ("miou", "miou_of_all"):
        outcome = judge(folder, "metric", metric=OWN + name)
        assert outcome.verdict == "passed", outcome.reason
    outcome = judge(folder, "metric", metric=OWN + "miou_of_all_as_one")
    assert outcome.verdict == "failed"
    assert "some classes absent" in outcome.reason


def test_an_optimiser_that_takes_a_schedule_needs_none_of_its_own(folder: Path) -> None:
    assert judge(folder, "optimiser", optimiser=OWN + "momentum").verdict == "passed"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tests.parity.certify.own_parts:none", "--loss tests.parity.certify.own_parts:none"),
        ("nowhere.py:loss", "no such file"),
        (OWN + "RATE", "is a float, no function"),
    ],
)
def test_what_cannot_be_taken(spec: str, words: str) -> None:
    with pytest.raises(ParityInputError, match=words):
        read_parts({"loss": spec}, "port")


def test_a_users_error_names_its_line(tmp_path: Path) -> None:
    from parity.certify.run import Options, certify

    broken = tmp_path / "broken.py"
    broken.write_text("def loss(outputs, labels):\n    return outputs[7]\n")
    found = certify(Options(depth=18, report=tmp_path, gates=("loss",), parts={"loss": f"{broken}:loss"}))
    outcome: Any = next(outcome for outcome in found.outcomes if outcome.name == "loss")
    assert outcome.verdict == "not run"
    assert "IndexError" in outcome.reason
    assert "(broken.py:2)" in outcome.reason
