"""Every Paddle file that a command reads, also through PaddleSeg, is read by this project's readers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from paddleseg.models import CCNet
from paddleseg.models.backbones import ResNet18_vd
from paddleseg.utils import download, utils
from PIL import Image, UnidentifiedImageError

from converter.errors import InputError
from paddleseg_port.build import make_builder
from paddleseg_port.files import guarded_files, load, read_state
from tests.converter.pickles import array, call, mapping, named, value, write_pickle
from tests.paddleseg_port.conftest import CONFIGS, refuse, succeed


@pytest.fixture(scope="module")
def trained(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two updates leave behind."""
    folder = tmp_path_factory.mktemp("trained")
    succeed("train", *settings, "--iters", 2, "--save_interval", 2, "--save_dir", folder)
    return folder / "iter_2"


@pytest.fixture
def backbone_config(dataset: Path, tmp_path: Path) -> Path:
    """A config of PaddleSeg's own CCNet on a small backbone."""
    config = {
        "_base_": str(CONFIGS / "generated.yml"),
        "model": {
            "_inherited_": False,
            "type": "CCNet",
            "num_classes": 19,
            "backbone": {"type": "ResNet18_vd", "output_stride": 8, "pretrained": None},
            "pretrained": None,
        },
    }
    path = tmp_path / "own.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize("name", ["model.pdparams", "model.pdopt"])
def test_a_hostile_folder_to_resume_from(
    name: str, settings: list[str], trained: Path, hostile: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "iter_2"
    shutil.copytree(trained, folder)
    hostile(folder / name)
    line = refuse("train", *settings, "--iters", 4, "--save_dir", tmp_path / "out", "--resume_model", folder)
    assert f"{name}: refused, the pickle names code" in line
    assert "system" in line
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("where", ["model.pretrained", "model.backbone.pretrained"])
@pytest.mark.parametrize("command", ["train", "val", "export"])
def test_a_hostile_pretrained_of_paddlesegs_own(
    command: str,
    where: str,
    settings: list[str],
    backbone_config: Path,
    hostile: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    config = ["--config", backbone_config, *settings[2:], f"{where}={hostile(tmp_path / 'hostile.pdparams')}"]
    out = [] if command == "val" else ["--save_dir", tmp_path / "out"]
    out += ["--iters", 1] if command == "train" else []
    assert "hostile.pdparams: refused, the pickle names code" in refuse(command, *config, *out)
    assert not (tmp_path / "ran").exists()


def test_a_hostile_file_of_the_port(settings: list[str], hostile: Callable[[Path], Path], tmp_path: Path) -> None:
    file = hostile(tmp_path / "hostile.pdparams")
    for command in ("val", "predict"):
        images = ["--image_path", tmp_path, "--save_dir", tmp_path / "out"] if command == "predict" else []
        assert "refused" in refuse(command, *settings, "--model_path", file, *images)
    assert "refused" in refuse("train", *settings, f"model.pretrained={file}", "--save_dir", tmp_path / "out")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("where", ["model.pretrained", "model.backbone.pretrained"])
def test_a_url_is_not_fetched(where: str, settings: list[str], backbone_config: Path, tmp_path: Path) -> None:
    url = "https://paddle.invalid/dygraph/resnet18.tar.gz"
    config = ["--config", backbone_config, *settings[2:], f"{where}={url}", "--iters", 1, "--save_dir", tmp_path]
    assert f"{url}: is a URL; download the file" in refuse("train", *config)
    allowed = refuse("train", *config, "--allow_download")
    assert "is a URL" not in allowed
    assert "paddle.invalid" in allowed


def test_the_ports_own_pretrained_may_not_be_a_url_either(settings: list[str], tmp_path: Path) -> None:
    url = ["model.pretrained=https://paddle.invalid/weights/model.pdparams", "--save_dir", tmp_path]
    assert "is a URL" in refuse("train", *settings, *url)


def test_a_healthy_backbone_is_loaded(settings: list[str], backbone_config: Path, tmp_path: Path) -> None:
    backbone = ResNet18_vd(output_stride=8)
    paddle.save(backbone.state_dict(), str(tmp_path / "backbone.pdparams"))
    opts = [*settings[2:], f"model.backbone.pretrained={tmp_path / 'backbone.pdparams'}"]
    more = ["--iters", 1, "--save_interval", 1, "--save_dir", tmp_path / "out"]
    count = len(backbone.state_dict())
    result = succeed("train", "--config", backbone_config, *opts, "optimizer.weight_decay=0.0001", *more)
    assert f"There are {count}/{count} variables loaded into ResNet_vd" in result.output


def test_a_model_that_forgets_its_pretrained_is_given_it(
    settings: list[str], backbone_config: Path, tmp_path: Path
) -> None:
    """PaddleSeg's CCNet takes one and never reads it."""
    network = CCNet(19, ResNet18_vd(output_stride=8))
    paddle.save(network.state_dict(), str(tmp_path / "whole.pdparams"))
    opts = [*settings[2:], f"model.pretrained={tmp_path / 'whole.pdparams'}", "--iters", 1]
    count = len(network.state_dict())
    output = succeed("train", "--config", backbone_config, *opts, "--save_dir", tmp_path / "out").output
    assert f"There are {count}/{count} variables loaded into CCNet" in output


def test_integers_for_a_backbones_floats_are_refused(
    settings: list[str], backbone_config: Path, tmp_path: Path
) -> None:
    state = {name: np.ones(value.shape, np.int64) for name, value in ResNet18_vd(output_stride=8).state_dict().items()}
    paddle.save(state, str(tmp_path / "integers.pdparams"))
    opts = [*settings[2:], f"model.backbone.pretrained={tmp_path / 'integers.pdparams'}", "--iters", 1]
    assert "int64" in refuse("train", "--config", backbone_config, *opts, "--save_dir", tmp_path / "out")


def test_a_state_is_read_as_paddle_reads_it(trained: Path) -> None:
    expected = paddle.load(str(trained / "model.pdopt"), return_numpy=True)
    state = read_state(trained / "model.pdopt")
    assert state.keys() == expected.keys()
    assert state["LR_Scheduler"] == expected["LR_Scheduler"]
    tensors = [name for name in state if name != "LR_Scheduler"]
    assert len(tensors) > 100
    for name in tensors:
        assert np.array_equal(state[name], expected[name])


def test_float32_masters_are_read_too(tmp_path: Path) -> None:
    """Paddle saves such a state in another form: each tensor by its name and its array."""
    saved = {"a_velocity_0": paddle.ones([2]), "master_weights": {"a": paddle.full([2], 3.0)}, "LR_Scheduler": {"x": 1}}
    paddle.save(saved, str(tmp_path / "model.pdopt"))
    state = load(str(tmp_path / "model.pdopt"), return_numpy=True)
    assert state["master_weights"]["a"].tolist() == [3.0, 3.0]
    assert state["a_velocity_0"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "content",
    [
        value([1, 2]),
        value({"a": {"b": {"c": {"d": 1}}}}),
        value({1: 2}),
        mapping({"a": call(named("numpy.core.multiarray", "scalar"), value("f8"), value(b"x"))}),
        mapping({"a": call(named("numpy.core.multiarray", "_reconstruct"), named("numpy", "ndarray"), value((0,)))}),
        mapping({"a": array(data=b"")}),
    ],
)
def test_what_is_no_state_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.pdopt: "):
        read_state(write_pickle(tmp_path / "model.pdopt", content))


def test_paddles_own_loader_is_back_afterwards(tmp_path: Path) -> None:
    original = paddle.load
    with guarded_files(downloads=False):
        assert paddle.load is load
        with pytest.raises(InputError, match="only files"):
            paddle.load(b"bytes")
    assert paddle.load is original


def test_data_sets_open_documented_pictures_and_fetch_nothing(tmp_path: Path) -> None:
    """Some of PaddleSeg's open pictures themselves, or download their files where no folder is given."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with guarded_files(downloads=False):
        with pytest.raises(UnidentifiedImageError):
            Image.open(tmp_path / "a.png")
        with pytest.raises(InputError, match="is a URL"):
            utils.download_pretrained_model("https://paddle.invalid/a/a.zip")
        with pytest.raises(InputError, match="is a URL"):
            download.download_file_and_uncompress("https://paddle.invalid/a.zip", str(tmp_path), str(tmp_path))
    assert Image.open(tmp_path / "a.png").format == "EPS"


def test_nothing_is_built_without_the_gate() -> None:
    with pytest.raises(RuntimeError, match="unguarded"):
        make_builder(CONFIGS / "generated.yml")
