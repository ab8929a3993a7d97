"""PaddleSeg's own training, setting by setting: certified against its own recipe, and not against the official one.

The network is the family's small one: PaddleSeg has none that is small enough for a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from parity.certify.gates import data
from parity.certify.subject import Subject
from tests.parity.certify.cases import make_subject, outcome_of

PADDLESEG = Path(__file__).parents[3] / "configs" / "paddleseg_769x769_60k.yml"
MODEL = {"type": "CCNetPort", "family": "paddleseg", "depth": 18, "batch_norm": "biased"}
GATES = (
    "validation data",
    "metric",
    "loss",
    "optimiser",
    "learning rate",
    "regularisation",
    "backward",
    "training data",
    "training",
)
DIFFERENCES = {
    "validation data": "(3, 1024, 2048), -110.7 to 136",
    "metric": "resize of logits",
    "loss": "align_corners False in the port's network, True in the reference's loss",
    "learning rate": "the port's 0.0001, the reference's 0",
    "regularisation": "0.4 times the reference's",
    "backward": "running statistics, isolated",
    "training data": "the port's 0.499 to 2, the reference's 0.7 to 2.1",
}
"""Gate -> what some check of it says of PaddleSeg's training against the official one."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paddleseg")


def make(folder: Path, family: str, **changes: Any) -> Subject:
    settings = yaml.safe_load(PADDLESEG.read_text()) | {"model": MODEL} | changes
    path = folder / f"config{len(list(folder.glob('*.yml')))}.yml"
    path.write_text(yaml.safe_dump(settings))
    subject = make_subject(folder, config=path, family=family, size=(33, 49))
    subject.port_kit["loader"].run.most = 300
    return subject


@pytest.fixture(scope="module")
def own(folder: Path) -> Subject:
    return make(folder, "paddleseg")


@pytest.fixture(scope="module")
def official(folder: Path) -> Subject:
    return make(folder, "official")


@pytest.mark.parametrize("gate", GATES)
def test_it_passes_against_its_own_recipe(gate: str, own: Subject) -> None:
    outcome = outcome_of(gate, own)
    assert outcome, outcome.reason


@pytest.mark.parametrize("gate", DIFFERENCES)
def test_each_difference_from_the_official_one_fails_at_its_gate(gate: str, official: Subject) -> None:
    outcome = outcome_of(gate, official)
    assert outcome.verdict == "failed", outcome.reason
    said = [f"{check.name}: {check.detail}" for check in outcome.checks if not check]
    assert any(DIFFERENCES[gate] in line for line in said), said


def test_its_loss_is_named_as_a_whole(official: Subject) -> None:
    cause = outcome_of("loss", official).cause
    assert cause is not None
    assert cause.proved
    assert (
        "that of the paddleseg recipe, OHEM: threshold 0.7 or higher, sought on all pixels, pixels kept" in cause.text
    )


def test_the_official_loss_is_named_against_paddlesegs_recipe(folder: Path) -> None:
    types = [{"type": "CCNetOhem", "ignore_index": 255}, {"type": "CCNetCrossEntropy", "ignore_index": 255}]
    outcome = outcome_of("loss", make(folder, "paddleseg", loss={"types": types, "coef": [1, 0.4]}))
    assert outcome.verdict == "failed"
    assert outcome.cause is not None
    assert "that of the official recipe" in outcome.cause.text
    assert outcome.remarks == ("the loss is held against the paddleseg recipe with ohem, the one published",)


def test_other_colours_are_seen_in_their_distribution(folder: Path) -> None:
    settings = yaml.safe_load(PADDLESEG.read_text())["train_dataset"]
    del settings["transforms"][3]
    outcome = outcome_of("training data", make(folder, "paddleseg", train_dataset=settings))
    assert outcome.verdict == "failed"
    assert "distribution of values (Kolmogorov-Smirnov)" in outcome.reason


@pytest.mark.parametrize(("batch", "fails"), [(1, False), (2, False), (8, False), (3, True), (16, True)])
def test_a_batch_is_a_share_of_the_recipes(batch: int, fails: bool, folder: Path) -> None:
    (check,) = data._batch(make(folder, "paddleseg", batch_size=batch))
    assert bool(check) != fails


def test_a_loader_that_is_too_slow_is_no_pass(folder: Path) -> None:
    subject = make(folder, "paddleseg")
    subject.port_kit["loader"].run.most = 20
    outcome = outcome_of("training data", subject)
    assert outcome.verdict == "not run"
    assert "20 charts in 45 seconds: too few to say anything" in outcome.reason
