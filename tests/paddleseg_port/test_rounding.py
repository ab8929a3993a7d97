"""A pixel of another class is a fault unless the margin between both classes is rounding, as in `ccnet-eval`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn
from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet18_vd
from PIL import Image

from converter.errors import ConverterError, InputError
from converter.files import read_checkpoint
from models_paddle import load_weights
from paddleseg_port.components import CCNetNormalize
from paddleseg_port.model import CCNetPort
from paddleseg_port.rounding import compare_classes, measure_rounding
from tests.paddleseg_port.conftest import run, succeed
from twins.tolerances import FLOAT32_NOISE_RATIO

ROUNDING = 1e-7
LOGITS = np.zeros((3, 2, 2), np.float32)
LOGITS[:, 0, 0] = [5, 5 - 6e-6, -1]
LOGITS[:, 0, 1] = [1, 4, 2]
NOISE = FLOAT32_NOISE_RATIO * ROUNDING * 5
CLASSES = LOGITS.argmax(0).astype(np.uint8)


def write(path: Path, **changed: int) -> Path:
    """The classes as PNG, but for the pixels `rR_cC`."""
    classes = CLASSES.copy()
    for place, value in changed.items():
        classes[int(place[1]), int(place[4])] = value
    Image.fromarray(classes).save(path)
    return path


def test_equal_classes_are_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare_classes(CLASSES, LOGITS, ROUNDING, write(tmp_path / "a.png"))
    assert capsys.readouterr().out == ""


def test_a_margin_below_the_noise_is_said_and_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert NOISE > 6e-6
    compare_classes(CLASSES, LOGITS, ROUNDING, write(tmp_path / "a.png", r0_c0=1))
    printed = capsys.readouterr().out
    assert "gives 1 of 4 pixels another class" in printed
    assert "rounding explains it" in printed
    assert "at row 0, column 0" in printed


@pytest.mark.parametrize("changed", [{"r0_c0": 2}, {"r0_c1": 0}, {"r0_c0": 1, "r0_c1": 2}, {"r1_c1": 19}])
def test_a_margin_above_it_is_a_fault(changed: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ConverterError, match=r"1 of them with a margin above the rounding noise of 8\.0e-06"):
        compare_classes(CLASSES, LOGITS, ROUNDING, write(tmp_path / "a.png", **changed))


@pytest.mark.parametrize(("logits", "rounding"), [(None, ROUNDING), (LOGITS, None), (LOGITS * np.nan, ROUNDING)])
def test_what_is_not_known_explains_nothing(logits: np.ndarray | None, rounding: float | None, tmp_path: Path) -> None:
    with pytest.raises(ConverterError, match="gives 1 of 4 pixels another class"):
        compare_classes(CLASSES, logits, rounding, write(tmp_path / "a.png", r0_c0=1))


def test_what_is_no_picture_of_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(InputError, match="not a readable PNG"):
        compare_classes(CLASSES, LOGITS, ROUNDING, tmp_path / "a.png")


class Rounded(nn.Layer):
    """A model that computes in float32 whatever it is given."""

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        return [images.astype("float32") / 3]


class Failing(nn.Layer):
    """One that does not compute."""

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        raise ZeroDivisionError


@pytest.mark.parametrize("own", [False, True])
def test_rounding_is_measured_and_the_model_stays_as_it_is(own: bool) -> None:
    model = CCNet(19, ResNet18_vd(output_stride=8)) if own else CCNetPort(depth=18)
    model.eval()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    images = paddle.to_tensor(np.random.default_rng(0).normal(0, 50, (1, 3, 33, 49)).astype(np.float32))
    rounding = measure_rounding(model, images)
    assert rounding is not None
    assert 1e-9 < rounding < 1e-4
    for name, value in model.state_dict().items():
        assert value.dtype == paddle.float32
        assert np.array_equal(value.numpy(), before[name])
    assert model(images)[0].dtype == paddle.float32


@pytest.mark.parametrize("model", [Rounded, Failing])
def test_a_model_that_knows_float32_alone_has_no_measure(model: type[nn.Layer]) -> None:
    assert measure_rounding(model(), paddle.ones([1, 1, 2, 2])) is None


def find_scores(weights: Path, image: Path) -> np.ndarray:
    """The eager model's logits (K, H, W) of a picture."""
    model = CCNetPort(depth=18)
    load_weights(model, dict(read_checkpoint(weights).tensors))
    model.eval()
    pixels = CCNetNormalize()({"img": np.array(Image.open(image)).astype(np.float32)})["img"]
    return model(paddle.to_tensor(pixels.transpose(2, 0, 1)[None]))[0].numpy()[0]


def test_an_exported_model_is_judged_by_its_own_margins(
    settings: list[str], weights: Path, dataset: Path, tmp_path: Path
) -> None:
    """The narrowest pixel may flip to its second class if that is rounding; the widest may not."""
    images = dataset / "leftImg8bit" / "val"
    succeed("export", *settings, "--model_path", weights, "--save_dir", tmp_path / "exported")
    succeed("predict", *settings, "--model_path", weights, "--image_path", images, "--save_dir", tmp_path)
    rounding = yaml.safe_load((tmp_path / "exported" / "deploy.yaml").read_text())["Deploy"]["rounding"]
    assert 1e-9 < rounding < 1e-4
    classes, logits = paddle.jit.load(str(tmp_path / "exported" / "model"))(paddle.ones([1, 3, 33, 49]))
    assert np.array_equal(classes.numpy(), logits.numpy().argmax(1))
    folder = tmp_path / "pseudo_color_prediction"
    path = sorted(folder.rglob("*.png"))[0]
    scores = find_scores(weights, next(images.rglob(path.name)))
    ordered = np.sort(scores, 0)
    margins = ordered[-1] - ordered[-2]
    command = ["infer", "--config", tmp_path / "exported" / "deploy.yaml", "--image_path", images]
    command += ["--save_dir", tmp_path / "out", "--expected", tmp_path / "changed"]
    for place in (margins.argmax(), margins.argmin()):
        row, column = np.unravel_index(place, margins.shape)
        shutil.rmtree(tmp_path / "changed", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "changed")
        picture = Image.open(path)
        picture.putpixel((int(column), int(row)), int(scores[:, row, column].argsort()[-2]))
        picture.save(next((tmp_path / "changed").rglob(path.name)))
        explained = margins[row, column] <= FLOAT32_NOISE_RATIO * rounding * np.abs(scores).max()
        assert place == margins.argmin() or not explained
        assert run(*command).exit_code == (0 if explained else 1)
