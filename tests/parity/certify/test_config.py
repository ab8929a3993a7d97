"""Certifying a PaddleSeg config: the project's own passes, and each mistake in one line of it fails at its gate."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from converter.errors import InputError
from parity.certify.gate import Outcome
from parity.certify.parts import loaders
from parity.certify.subject import Subject
from parity.mutants import configs
from parity.mutants.mutant import Mutant
from parity.mutants.run import Bench
from tests.parity.certify.cases import make_subject, outcome_of

OFFICIAL = Path(__file__).parents[3] / "configs" / "official_769x769_60k.yml"
Edit = Callable[[dict[str, Any]], object]
SLOW = ("config-rotated", "config-blurred")
"""Whose loaders take half a minute: `ccnet-parity mutants` runs them."""


@cache
def bench() -> Bench:
    return Bench()


def read_small() -> dict[str, Any]:
    """The project's config, with the small network."""
    settings: dict[str, Any] = yaml.safe_load(OFFICIAL.read_text())
    settings["model"]["depth"] = 18
    del settings["model"]["pretrained"]
    return settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders.Source, "draws", lambda self, folder, own=loaders.Source.draws: _few(self, folder, own))


def _few(source: loaders.Source, folder: Path, own: Any) -> Any:
    source.most = 300
    return own(source, folder)


def make(folder: Path, edit: Edit = lambda settings: None, **options: Any) -> Subject:
    settings = read_small()
    edit(settings)
    path = folder / f"config{len(list(folder.glob('*.yml')))}.yml"
    path.write_text(yaml.safe_dump(settings))
    return make_subject(folder, config=path, size=(33, 49), **options)


def judge(folder: Path, gate: str, edit: Edit, **options: Any) -> Outcome:
    return outcome_of(gate, make(folder, edit, **options))


@pytest.fixture(scope="module")
def right(folder: Path) -> Subject:
    return make(folder)


@pytest.mark.parametrize(
    "gate",
    [
        "weights",
        "validation data",
        "metric",
        "loss",
        "optimiser",
        "learning rate",
        "regularisation",
        "backward",
        "training data",
        "initialisation",
        "training",
    ],
)
def test_the_projects_own_config_passes(gate: str, right: Subject) -> None:
    outcome = outcome_of(gate, right)
    assert outcome, outcome.reason
    assert outcome.code["port"].startswith("config0.yml, ")


def test_the_plain_loss_for_mining_passes_where_the_nearest_recipe_was_asked_for(folder: Path) -> None:
    """And the certificate says which: the catalogue's `config-plain-loss` is told to mine."""

    def plain(settings: dict[str, Any]) -> None:
        settings["loss"]["types"][0] = {"type": "CCNetCrossEntropy", "ignore_index": 255}

    outcome = judge(folder, "loss", plain)
    assert outcome, outcome.reason
    assert "the official recipe with cross-entropy, the nearest published; --recipe ohem names" in outcome.remarks[0]


@pytest.mark.parametrize("entry", [one for one in configs.MUTANTS if one.name not in SLOW], ids=lambda one: one.name)
def test_a_mistake_in_the_config_fails_at_its_gate(entry: Mutant) -> None:
    outcome = bench().certify(entry, gates=[entry.gate])
    assert outcome.caught, outcome.sentence
    assert outcome, outcome.causes


@pytest.mark.parametrize("entry", configs.EQUIVALENTS, ids=lambda entry: entry.name)
def test_the_same_written_otherwise_passes(entry: Mutant) -> None:
    outcome = bench().certify(entry)
    assert not outcome.caught, outcome.sentence


def test_the_entries_edit_the_projects_config() -> None:
    assert read_small() == configs.OFFICIAL
    assert len(configs.MUTANTS) >= 12


@pytest.mark.parametrize("section", ["train_dataset", "val_dataset"])
def test_what_a_data_set_does_not_take_is_refused(section: str, folder: Path) -> None:
    subject = make(folder, lambda settings: settings[section].update(ignored=254))
    with pytest.raises(InputError, match=f"{section}: CityscapesIds got an unexpected keyword argument 'ignored'"):
        outcome_of("learning rate", subject)
