"""What a config leaves open is taken from the manifest of its weights; what contradicts itself is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from converter import convert_file
from paddleseg_port.settings import settle
from tests.converter.checkpoints import load_into_twin
from tests.paddleseg_port.conftest import CONFIGS, refuse, succeed
from twins.standin import make_state_dict, save_state_dict

Model = dict[str, object]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pure_pytorch weights converted with recurrence 1."""
    source = tmp_path_factory.mktemp("single") / "single.pth"
    save_state_dict(source, make_state_dict("pure_pytorch", depth=18))
    target = source.with_suffix(".pdparams")
    convert_file(source, target, recurrence=1, load_check=load_into_twin)
    return target


@pytest.fixture
def open_config(settings: list[str], tmp_path: Path) -> list[str]:
    """The config of generated data, whose model says nothing but its type."""
    path = tmp_path / "open.yml"
    base = {"_base_": str(CONFIGS / "generated.yml"), "model": {"_inherited_": False, "type": "CCNetPort"}}
    path.write_text(yaml.safe_dump(base))
    return ["--config", str(path), *settings[2:]]


@pytest.mark.parametrize("command", ["val", "export"])
def test_another_network_than_the_manifests_is_refused(
    command: str, settings: list[str], single: Path, tmp_path: Path
) -> None:
    """The config is official with R = 2, and would load these weights."""
    out = ["--save_dir", tmp_path] if command == "export" else []
    line = refuse(command, *settings, "--model_path", single, *out)
    assert "family official" in line
    assert "single.manifest.json says pure_pytorch" in line
    line = refuse(command, *settings, "model.family=pure_pytorch", "--model_path", single, *out)
    assert "recurrence 2" in line
    assert "says 1" in line
    assert "--opts model.recurrence=1" in line


def test_following_the_refusal_evaluates(settings: list[str], single: Path) -> None:
    told = ["model.family=pure_pytorch", "model.recurrence=1"]
    assert "mIoU" in succeed("val", *settings, *told, "--model_path", single).output


def test_what_the_config_leaves_open_is_taken_and_said(open_config: list[str], single: Path) -> None:
    result = succeed("val", *open_config, "--model_path", single, "--json")
    line = next(line for line in result.stderr.splitlines() if "single.manifest.json: tells" in line)
    for words in ("family pure_pytorch", "num_classes 19", "depth 18", "recurrence 1"):
        assert words in line
    explicit = ["model.family=pure_pytorch", "model.depth=18", "model.recurrence=1"]
    alone = single.with_name("alone.pdparams")
    shutil.copy(single, alone)
    expected = succeed("val", *open_config, *explicit, "--model_path", alone, "--json")
    assert json.loads(result.stdout) == json.loads(expected.stdout)


def test_defaults_that_nothing_tells_are_said(open_config: list[str], single: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.pdparams"
    shutil.copy(single, alone)
    output = succeed("val", *open_config, "model.depth=18", "--model_path", alone).output
    assert "nor does a manifest: family official, recurrence 2" in output


def test_a_manifest_of_another_file_is_refused(settings: list[str], weights: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.pdparams"
    state = paddle.load(str(weights))
    paddle.save({name: value * 2 for name, value in state.items()}, str(changed))
    shutil.copy(weights.with_suffix(".manifest.json"), tmp_path / "changed.manifest.json")
    line = refuse("val", *settings, "--model_path", changed)
    assert "describes another file than changed.pdparams" in line
    manifest = json.loads(weights.with_suffix(".manifest.json").read_text())
    assert "does not fit CCNetPort" in refuse("val", *settings, "--model_path", weights.with_suffix(".pth"))
    assert manifest["target"]["name"] == weights.name
    (tmp_path / "changed.manifest.json").write_text("{}")
    assert "not a readable manifest" in refuse("val", *settings, "--model_path", changed)


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["model.num_classes=21"], "num_classes"),
        (["model.depth=50"], "depth 50"),
        (["model.align_corners=False"], "align_corners False"),
    ],
)
def test_every_setting_that_a_manifest_knows_is_compared(
    opts: list[str], words: str, settings: list[str], weights: Path
) -> None:
    assert words in refuse("val", *settings, *opts, "--model_path", weights)


def test_pretrained_is_held_to_its_manifest_too(settings: list[str], single: Path, tmp_path: Path) -> None:
    line = refuse("train", *settings, f"model.pretrained={single}", "--save_dir", tmp_path)
    assert "single.manifest.json says pure_pytorch" in line


@pytest.mark.parametrize("command", ["val", "export"])
def test_without_weights_is_refused(command: str, settings: list[str], weights: Path, tmp_path: Path) -> None:
    out = ["--save_dir", tmp_path] if command == "export" else []
    assert "names no weights" in refuse(command, *settings, *out)
    succeed(command, *settings, f"model.pretrained={weights}", *out)


def test_a_backbone_alone_is_no_network(settings: list[str], weights: Path, tmp_path: Path) -> None:
    state = {name: value for name, value in paddle.load(str(weights)).items() if name.startswith("backbone.")}
    paddle.save(state, str(tmp_path / "backbone.pdparams"))
    line = refuse("val", *settings, f"model.pretrained={tmp_path / 'backbone.pdparams'}")
    assert "missing ['auxiliary_head" in line


def settled(family: str | None, transform: dict[str, object], **options: bool) -> tuple[dict[str, object], list[str]]:
    """The transform after settling, and what was said."""
    model = {"type": "CCNetPort", "recurrence": 2, **({} if family is None else {"family": family})}
    settings = {"model": model, "val_dataset": {"transforms": [transform]}}
    return transform, settle(settings, None, Path("a.yml"), evaluates=False, **options)


@pytest.mark.parametrize("family", ["mmseg", "paddleseg", "official", "pure_pytorch", None])
def test_the_transform_takes_the_models_family(family: str | None) -> None:
    assert settled(family, {"type": "CCNetNormalize"}) == (
        {"type": "CCNetNormalize", "family": family or "official"},
        [],
    )


def test_one_of_the_same_preprocessing_is_let_through() -> None:
    settled("pure_pytorch", {"type": "CCNetNormalize", "family": "official"})


@pytest.mark.parametrize("family", ["official", "paddleseg"])
def test_a_transform_of_another_family_is_refused(family: str, settings: list[str], weights: Path) -> None:
    opts = ["model.family=mmseg", f"val_dataset.transforms=[{{'type':'CCNetNormalize','family':'{family}'}}]"]
    line = refuse("val", *settings, *opts, "--model_path", weights.with_name("none.pdparams"))
    assert "CCNetNormalize of val_dataset is not the preprocessing of the model's family, mmseg" in line


def test_mmseg_in_the_model_alone_is_evaluated_with_its_mean(settings: list[str], tmp_path: Path) -> None:
    """The same figures as with the family in the transform too, and others than with the official mean."""
    source = tmp_path / "mmseg.pth"
    save_state_dict(source, make_state_dict("mmseg", depth=18))
    convert_file(source, tmp_path / "mmseg.pdparams", recurrence=2, load_check=load_into_twin)
    model = ["model.family=mmseg", "model.align_corners=None"]
    command = ["--model_path", tmp_path / "mmseg.pdparams", "--json"]
    printed = json.loads(succeed("val", *settings, *model, *command).stdout)
    explicit = "val_dataset.transforms=[{'type':'CCNetNormalize','family':'mmseg'}]"
    assert json.loads(succeed("val", *settings, *model, explicit, *command).stdout) == printed
    normalize = "{'type':'Normalize','mean':[0.485,0.456,0.406],'std':[0.229,0.224,0.225]}"
    same = json.loads(succeed("val", *settings, *model, f"val_dataset.transforms=[{normalize}]", *command).stdout)
    assert np.abs(np.array(same["confusion"]) - np.array(printed["confusion"])).sum() < 10
    line = refuse("val", *settings, *model, "val_dataset.transforms=[{'type':'Normalize'}]", *command)
    assert "Normalize of val_dataset is not the preprocessing of the model's family, mmseg" in line


def test_another_mean_without_a_manifest_is_said() -> None:
    """Who trained the network so may evaluate it so."""
    _, notes = settled("official", {"type": "Normalize"})
    assert notes == [
        "a.yml: Normalize of val_dataset is not the preprocessing of the model's family, official, "
        "which CCNetNormalize is"
    ]
    assert settled("paddleseg", {"type": "Normalize"})[1] == []
