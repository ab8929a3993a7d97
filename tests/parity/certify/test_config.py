"""Certifying a PaddleSeg config: the project's own passes, and each mistake in one line of it fails at its gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from parity.certify.gate import Outcome
from parity.certify.parts import loaders
from parity.certify.subject import Subject
from tests.parity.certify.cases import make_subject, outcome_of

OFFICIAL = Path(__file__).parents[3] / "configs" / "official_769x769_60k.yml"
Edit = Callable[[dict[str, Any]], object]


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


def change(section: str, **values: Any) -> Edit:
    return lambda settings: settings[section].update(values)


def transform(kind: str, dataset: str = "train_dataset", **values: Any) -> Edit:
    """Change the arguments of one transform."""

    def edit(settings: dict[str, Any]) -> None:
        next(one for one in settings[dataset]["transforms"] if one["type"] == kind).update(values)

    return edit


def loss(number: int, **values: Any) -> Edit:
    return lambda settings: settings["loss"]["types"][number].update(values)


def paddlesegs_cross_entropy(settings: dict[str, Any]) -> None:
    settings["loss"]["types"][0] = {"type": "CrossEntropyLoss", "ignore_index": 255}


def normalised(dataset: str, **values: Any) -> Edit:
    def edit(settings: dict[str, Any]) -> None:
        transforms = settings[dataset]["transforms"]
        place = next(n for n, one in enumerate(transforms) if one["type"] == "CCNetNormalize")
        transforms[place] = {"type": "Normalize", **values}

    return edit


def without(kind: str) -> Edit:
    def edit(settings: dict[str, Any]) -> None:
        section = settings["train_dataset"]
        section["transforms"] = [one for one in section["transforms"] if one["type"] != kind]

    return edit


MISTAKES: dict[str, tuple[str, Edit, str]] = {
    "decay": ("regularisation", change("optimizer", weight_decay=4e-5), "0.4 times the reference's"),
    "momentum": ("optimiser", change("optimizer", momentum=0.99), "update, step 2"),
    "clipped gradients": (
        "optimiser",
        change("optimizer", grad_clip_cfg={"name": "ClipGradByGlobalNorm", "clip_norm": 1.0}),
        "update, step 1",
    ),
    "another rate for the head": (
        "optimiser",
        change("optimizer", custom_cfg=[{"name": "head", "lr_mult": 10.0}]),
        "10 times the reference's",
    ),
    "norms not decayed": (
        "regularisation",
        change("optimizer", custom_cfg=[{"name": "norm", "weight_decay_mult": 0.0}]),
        "only one side decays",
    ),
    "base rate": ("learning rate", change("lr_scheduler", learning_rate=0.001), "rate of the first step"),
    "power": ("learning rate", change("lr_scheduler", power=1.0), "rate of a step"),
    "end rate": ("learning rate", change("lr_scheduler", end_lr=1e-4), "rate of the step beyond the end"),
    "warm-up": (
        "learning rate",
        change("lr_scheduler", warmup_iters=1000, warmup_start_lr=1e-5),
        "rate of the first step",
    ),
    "iterations": ("learning rate", lambda settings: settings.update(iters=80000), "80000"),
    "auxiliary weight": ("loss", change("loss", coef=[1, 0.5]), "ohem"),
    "PaddleSeg's cross-entropy": ("loss", paddlesegs_cross_entropy, "cross-entropy"),
    "threshold": ("loss", loss(0, thresh=0.6), "large picture"),
    "ignored label": ("loss", loss(1, ignore_index=254), "the port's raises"),
    "stride of windows": (
        "metric",
        lambda settings: settings.update(test_config={"is_slide": True, "crop_size": [769, 769], "stride": [512, 512]}),
        "sliding windows",
    ),
    "align_corners": ("loss", change("model", align_corners=False), "resize of logits"),
    "mean and deviation": ("validation data", normalised("val_dataset"), "channel means"),
    "normalisation in training": ("training data", normalised("train_dataset"), "values"),
    "scales": ("training data", transform("ResizeStepScaling", min_scale_factor=0.5), "least scale"),
    "steps of scales": ("training data", transform("ResizeStepScaling", scale_step_size=0.7), "distribution of scales"),
    "crop": ("training data", transform("RandomPaddingCrop", crop_size=[513, 513]), "65×65"),
    "padding": ("training data", transform("RandomPaddingCrop", im_padding_value=127.5), "values of padding"),
    "padding's label": ("training data", transform("RandomPaddingCrop", label_padding_value=0), ""),
    "never mirrored": ("training data", without("RandomHorizontalFlip"), "mirrored"),
    "mirrored too seldom": ("training data", transform("RandomHorizontalFlip", prob=0.1), "mirrored"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_config_fails_at_its_gate(name: str, folder: Path) -> None:
    gate, edit, words = MISTAKES[name]
    outcome = judge(folder, gate, edit)
    assert outcome.verdict == "failed", outcome.reason
    assert words in outcome.reason


def test_the_plain_loss_for_mining_fails_where_mining_was_asked_for(folder: Path) -> None:
    def plain(settings: dict[str, Any]) -> None:
        settings["loss"]["types"][0] = {"type": "CCNetCrossEntropy", "ignore_index": 255}

    assert judge(folder, "loss", plain, loss_recipe="ohem").verdict == "failed"
    outcome = judge(folder, "loss", plain)
    assert outcome, outcome.reason
    assert "the official recipe with cross-entropy, the nearest published" in outcome.remarks[0]


def rewritten(settings: dict[str, Any]) -> None:
    settings["optimizer"] = {"type": "sgd", "momentum": 0.9, "weight_decay": 0.0001}
    settings["lr_scheduler"]["decay_steps"] = 60000


@pytest.mark.parametrize("gate", ["optimiser", "learning rate", "regularisation"])
def test_the_same_written_otherwise_passes(gate: str, folder: Path) -> None:
    outcome = judge(folder, gate, rewritten)
    assert outcome, outcome.reason
