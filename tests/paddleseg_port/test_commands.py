"""`ccnet-seg` as users call it: the port's config and PaddleSeg's own, through the same commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet18_vd
from PIL import Image
from visualdl import LogReader

from cityscapes.command import Options
from cityscapes.command import run as evaluate
from cityscapes.confusion import Score
from tests.paddleseg_port.conftest import CONFIGS, SIZE, refuse, run, succeed


@pytest.fixture(scope="module")
def own_config(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of PaddleSeg's CCNet that names nothing of the port, with a small backbone."""
    data = {"type": "Cityscapes", "dataset_root": str(dataset)}
    crop = {"type": "RandomPaddingCrop", "crop_size": [65, 65]}
    config = {
        "batch_size": 2,
        "iters": 1,
        "train_dataset": {**data, "mode": "train", "transforms": [crop, {"type": "Normalize"}]},
        "val_dataset": {**data, "mode": "val", "transforms": [{"type": "Normalize"}]},
        "model": {
            "type": "CCNet",
            "backbone": {"type": "ResNet18_vd", "output_stride": 8, "pretrained": None},
            "enable_auxiliary_loss": True,
            "dropout_prob": 0.1,
            "recurrence": 2,
        },
        "loss": {"types": [{"type": "OhemCrossEntropyLoss"}, {"type": "CrossEntropyLoss"}], "coef": [1, 0.4]},
        "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 4.0e-5},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "power": 0.9, "end_lr": 1.0e-4},
    }
    path = tmp_path_factory.mktemp("own") / "ccnet.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_val_has_the_confusion_matrix_of_ccnet_eval(settings: list[str], weights: Path, dataset: Path) -> None:
    result = succeed("val", *settings, "--model_path", weights, "--json")
    printed = json.loads(result.stdout)
    expected, _ = evaluate(Options(root=dataset, paddle=weights, whole=True, padding=False))
    assert printed == expected.to_json()["paddle"]
    confusion = np.array(printed["confusion"])
    assert confusion.sum() > 0.8 * 2 * SIZE[0] * SIZE[1]
    assert f"Acc: {printed['pixel_accuracy']:.4f}" in result.stderr


def test_sliding_windows_are_those_of_ccnet_eval(settings: list[str], weights: Path, dataset: Path) -> None:
    windows = ["--is_slide", "--crop_size", 48, 48, "--stride", 32, 32]
    printed = json.loads(succeed("val", *settings, "--model_path", weights, "--json", *windows).stdout)
    expected, _ = evaluate(Options(root=dataset, paddle=weights, slide=48, padding=False))
    assert printed["confusion"] == expected.to_json()["paddle"]["confusion"]


def test_views_change_what_is_seen(settings: list[str], weights: Path) -> None:
    command = ["val", *settings, "--model_path", weights, "--json"]
    flip = ["--aug_eval", "--flip_horizontal"]
    matrices = [
        json.loads(succeed(*command, *options).stdout)["confusion"]
        for options in ([], flip, [*flip, "--scales", "0.75", "1.0", "1.25"])
    ]
    assert matrices[0] != matrices[1] != matrices[2] != matrices[0]
    assert len({np.sum(matrix) for matrix in matrices}) == 1


def test_training_logs_evaluates_saves_and_resumes(settings: list[str], tmp_path: Path) -> None:
    save = ["--save_dir", tmp_path, "--save_interval", 2, "--log_iter", 1, "--use_vdl", "--do_eval", "--seed", 0]
    succeed("train", *settings, "--iters", 2, *save)
    assert {path.name for path in (tmp_path / "iter_2").iterdir()} == {"model.pdparams", "model.pdopt"}
    assert (tmp_path / "best_model" / "model.pdparams").is_file()
    (log,) = tmp_path.glob("vdlrecords*")
    reader = LogReader(file_path=str(log))
    losses = [record.value for record in reader.get_data("scalar", "Train/loss")]
    assert len(losses) == 2
    assert all(0 < loss < 50 for loss in losses)
    assert len(reader.get_data("scalar", "Evaluate/mIoU")) == 1
    assert paddle.load(str(tmp_path / "iter_2" / "model.pdopt"))["LR_Scheduler"]["last_epoch"] == 2
    output = succeed("train", *settings, "--iters", 4, *save, "--resume_model", tmp_path / "iter_2").output
    assert "iter: 3/4" in output
    assert "iter: 1/4" not in output


def test_paddlesegs_own_config_through_the_same_commands(own_config: Path, dataset: Path, tmp_path: Path) -> None:
    succeed("train", "--config", own_config, "--save_dir", tmp_path, "--save_interval", 1, "--do_eval")
    model = ["--config", own_config, "--model_path", tmp_path / "iter_1" / "model.pdparams"]
    succeed("val", *model, "--aug_eval", "--flip_horizontal", "--scales", "0.75", "1.0")
    images = ["--image_path", dataset / "leftImg8bit" / "val"]
    succeed("predict", *model, *images, "--save_dir", tmp_path / "predicted")
    succeed("export", *model, "--save_dir", tmp_path / "exported")
    expected = ["--expected", tmp_path / "predicted" / "pseudo_color_prediction"]
    succeed(
        "infer", "--config", tmp_path / "exported" / "deploy.yaml", *images, "--save_dir", tmp_path / "out", *expected
    )


def test_predictions_are_class_numbers(settings: list[str], weights: Path, dataset: Path, tmp_path: Path) -> None:
    """One picture given by name; its palette PNG, evaluated, has the accuracy that val counts."""
    (image, _) = sorted((dataset / "leftImg8bit" / "val").rglob("*.png"))
    succeed("predict", *settings, "--model_path", weights, "--image_path", image, "--save_dir", tmp_path)
    classes = np.asarray(Image.open(tmp_path / "pseudo_color_prediction" / image.name))
    assert classes.shape == SIZE
    assert len(np.unique(classes)) > 1
    assert (tmp_path / "added_prediction" / image.name).is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["val", "--config", "missing.yml"], "missing.yml: no such file"),
        (["val", "--config", CONFIGS / "generated.yml", "--opts", "val_dataset.dataset_root=nowhere"], "nowhere"),
        (["val", "--config", CONFIGS / "generated.yml", "--opts", "nonsense"], "key=value"),
        (["val", "--config", CONFIGS / "generated.yml", "--opts", "model.family=imagenet"], "family imagenet"),
        (["val", "--config", CONFIGS / "generated.yml", "--opts", "model.type=Nothing"], "Nothing"),
        (["export", "--config", CONFIGS / "generated.yml", "--input_shape", 1, 4, 64, 64], "4 channels"),
        (["train", "--config", CONFIGS / "generated.yml", "--resume_model", "nowhere"], "name an iter_N folder"),
        (["infer", "--config", CONFIGS / "generated.yml", "--image_path", "x.png"], "not an exported model"),
        (["tipc", "lite_train_lite_infer", "--config", "missing.yml"], "missing.yml: no such file"),
    ],
)
def test_mistakes_are_one_line(arguments: list[object], words: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refuse(*arguments)


def test_mistakes_in_files_are_one_line(settings: list[str], weights: Path, dataset: Path, tmp_path: Path) -> None:
    paddle.save(CCNet(19, ResNet18_vd(output_stride=8)).state_dict(), str(tmp_path / "own.pdparams"))
    assert "does not fit CCNetPort" in refuse("val", *settings, "--model_path", tmp_path / "own.pdparams")
    model = [*settings, "--model_path", weights]
    assert "needs --crop_size W H" in refuse("val", *model, "--is_slide")
    assert "not a picture" in refuse("predict", *model, "--image_path", tmp_path / "none", "--save_dir", tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    not_a_picture = ["--image_path", tmp_path / "text.png", "--save_dir", tmp_path]
    assert "text.png: not a readable picture" in refuse("predict", *model, *not_a_picture)
    assert "cannot make this folder" in refuse("export", *model, "--save_dir", weights / "folder")
    assert "2 pictures to train on" in refuse("train", *settings, "--batch_size", 3, "--save_dir", tmp_path)


def test_what_json_cannot_tell_is_refused(own_config: Path, dataset: Path, monkeypatch) -> None:
    """Another number of classes, and more processes than one: Paddle reads how many from the environment."""
    lists = {split: own_config.with_name(f"{split}.txt") for split in ("train", "val")}
    for split, path in lists.items():
        images = sorted((dataset / "leftImg8bit" / split).rglob("*.png"))
        path.write_text("".join(f"{image} {image}\n" for image in images))
    config = yaml.safe_load(own_config.read_text())
    for split, path in lists.items():
        config[f"{split}_dataset"] |= {"type": "Dataset", "num_classes": 3, f"{split}_path": str(path)}
    config["model"]["num_classes"] = 3
    other = own_config.with_name("three.yml")
    other.write_text(yaml.safe_dump(config))
    assert "has 3 classes" in refuse("val", "--config", other, "--json")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.setenv("PADDLE_TRAINER_ID", "0")
    assert "start one process" in refuse("val", "--config", own_config, "--json")


def test_without_paddleseg_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "paddleseg", None)
    assert "pip install 'paddleseg>=2.8,<2.9' 'numpy<2'" in refuse("val", "--config", CONFIGS / "generated.yml")


def test_values_may_follow_one_name(settings: list[str]) -> None:
    """As argparse's nargs="+" has it; a name without a value is refused."""
    result = run("val", *settings[:2], "--opts")
    assert result.exit_code == 2
    assert "'--opts' requires an argument" in result.output


def test_scores_count_what_paddleseg_leaves_out() -> None:
    """PaddleSeg's mIoU takes a class that is nowhere as 0; ccnet-eval's, and so --json, leaves it out."""
    assert Score(np.diag([1] * 18 + [0])).miou == 1.0
