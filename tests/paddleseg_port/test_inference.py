"""Exported models: the deploy layout, and the same predictions by Paddle Inference, each backend in its own process."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from paddleseg.deploy.infer import DeployConfig
from PIL import Image

from tests.cli.run import run as run_process
from tests.paddleseg_port.conftest import refuse, run, succeed


@pytest.fixture(scope="module")
def exported(settings: list[str], weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    succeed("export", *settings, "--model_path", weights, "--save_dir", folder)
    return folder


@pytest.fixture(scope="module")
def predicted(settings: list[str], weights: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predicted")
    images = dataset / "leftImg8bit" / "val"
    succeed("predict", *settings, "--model_path", weights, "--image_path", images, "--save_dir", folder)
    return folder / "pseudo_color_prediction"


def test_the_layout_is_paddlesegs(exported: Path) -> None:
    deploy = yaml.safe_load((exported / "deploy.yaml").read_text())["Deploy"]
    assert deploy["transforms"] == [{"type": "CCNetNormalize", "family": "official"}]
    assert (deploy["output_op"], deploy["output_dtype"]) == ("argmax", "int32")
    assert deploy["input_shape"] == [None, 3, None, None]
    parsed = DeployConfig(str(exported / "deploy.yaml"))
    assert Path(parsed.model).is_file()
    assert Path(parsed.params).is_file()


def test_an_export_that_fails_leaves_the_one_before(
    exported: Path, settings: list[str], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(exported, tmp_path / "model")
    (tmp_path / "model" / "deploy.yaml").write_text("of before")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    line = ("export", *settings, "--model_path", weights, "--save_dir", tmp_path / "model")
    monkeypatch.setattr("paddleseg_port.export.measure_rounding", lambda *_: float("nan"))
    monkeypatch.setattr("paddleseg_port.export.np.array_equal", lambda *_: False)
    result = run(*line)
    assert result.exit_code == 1
    assert "nothing was written" in result.stderr
    monkeypatch.setattr("converter.files.atomic.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    assert "no space left on the device" in refuse(*line)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("onednn", [False, True])
def test_exported_and_eager_predictions_are_identical(
    onednn: bool, exported: Path, predicted: Path, dataset: Path, tmp_path: Path
) -> None:
    result = run_process(
        *("ccnet-seg", "infer", "--config", exported / "deploy.yaml", "--image_path", dataset / "leftImg8bit" / "val"),
        *("--save_dir", tmp_path, "--enable_mkldnn", onednn, "--expected", predicted, "--benchmark", True),
    )
    assert result.returncode == 0, result.stderr
    for path in tmp_path.glob("*.png"):
        (eager,) = predicted.rglob(path.name)
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(eager)))
    for words in (f"enable_mkldnn: {onednn}", "model_name: CCNet", "batch_size: 1", "precision: fp32"):
        assert words in result.stdout
    assert "inference_time(ms): " in result.stdout


def test_another_prediction_is_a_failure(exported: Path, predicted: Path, dataset: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "expected"
    shutil.copytree(predicted, wrong)
    path = sorted(wrong.rglob("*.png"))[0]
    picture = Image.open(path)
    picture.putpixel((5, 7), (picture.getpixel((5, 7)) + 1) % 19)
    picture.save(path)
    result = run(
        *("infer", "--config", exported / "deploy.yaml", "--image_path", dataset / "leftImg8bit" / "val"),
        *("--save_dir", tmp_path / "out", "--expected", wrong),
    )
    assert result.exit_code == 1
    assert "gives 1 of 8192 pixels another class" in result.stderr
    missing = ["--save_dir", tmp_path / "out", "--expected", tmp_path / "out"]
    assert not (tmp_path / "out").exists()
    images = ["--image_path", dataset / "leftImg8bit" / "val"]
    assert "has 0 files called" in refuse("infer", "--config", exported / "deploy.yaml", *images, *missing)


def test_a_prediction_takes_the_place_of_nothing(
    exported: Path, settings: list[str], weights: Path, dataset: Path, tmp_path: Path
) -> None:
    picture = next((dataset / "leftImg8bit" / "val").rglob("*.png"))
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("in/a.png", "in/deep/a.png", "b.jpg", "b.png"):
        shutil.copy(picture, tmp_path / name)
    (tmp_path / "in" / "list.txt").write_text("../b.png")
    (tmp_path / "list.txt").write_text("b.jpg\nb.png")
    infer = ("infer", "--config", exported / "deploy.yaml")
    predict = ("predict", *settings, "--model_path", weights)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    for line, given, save_dir, said in (
        (infer, "b.png", ".", "would take a picture's place"),
        (infer, "in", "out", "has the same prediction"),
        (infer, "list.txt", "out", "has the same prediction"),
        (predict, "list.txt", "out", "has the same prediction"),
        (predict, "in/list.txt", "out", "would lie outside"),
    ):
        assert said in refuse(*line, "--image_path", tmp_path / given, "--save_dir", tmp_path / save_dir)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_picture_of_another_size_than_the_exported_one_is_one_line(
    settings: list[str], weights: Path, dataset: Path, tmp_path: Path
) -> None:
    size = ["--input_shape", 1, 3, 33, 49]
    succeed("export", *settings, "--model_path", weights, "--save_dir", tmp_path, *size)
    images = ["--image_path", dataset / "leftImg8bit" / "val", "--save_dir", tmp_path / "out"]
    result = run("infer", "--config", tmp_path / "deploy.yaml", *images)
    assert result.exit_code == 1
    assert "Paddle Inference cannot run the model" in result.stderr


@pytest.mark.parametrize(("output_op", "shape"), [("softmax", (1, 19, 33, 49)), ("none", (1, 19, 33, 49))])
def test_other_outputs_and_a_fixed_size(
    output_op: str, shape: tuple[int, ...], settings: list[str], weights: Path, tmp_path: Path
) -> None:
    size = ["--input_shape", 1, 3, 33, 49]
    succeed("export", *settings, "--model_path", weights, "--save_dir", tmp_path, "--output_op", output_op, *size)
    outputs = paddle.jit.load(str(tmp_path / "model"))(paddle.ones([1, 3, 33, 49]))
    output = outputs[0] if isinstance(outputs, list | tuple) else outputs
    assert tuple(output.shape) == shape
    assert np.allclose(output.numpy().sum(1), 1, atol=1e-5) == (output_op == "softmax")


def test_an_exported_model_of_other_files_is_refused(exported: Path, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text((exported / "deploy.yaml").read_text().replace("pdiparams", "none"))
    images = ["--image_path", dataset / "leftImg8bit" / "val"]
    assert "is no regular file, which" in refuse("infer", "--config", tmp_path / "deploy.yaml", *images)
