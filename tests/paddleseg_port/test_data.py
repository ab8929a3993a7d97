"""Pictures and labels that PaddleSeg would take, or wait for ever on: each is one line that names the file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from converter.errors import InputError
from paddleseg_port.data import checked_loading
from tests.cli.run import run as run_process
from tests.paddleseg_port.conftest import CONFIGS, SIZE, refuse, roots, succeed

Spoil = Callable[[Path], None]
Array = np.ndarray


@pytest.fixture
def spoilt(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the generated data, to be spoiled."""
    return Path(shutil.copytree(dataset, tmp_path / "data"))


def first(root: Path, split: str, ending: str = "labelTrainIds.png") -> Path:
    return sorted((root / "gtFine" / split).rglob(f"*{ending}"))[0]


def save(label: Array) -> Spoil:
    return lambda path: Image.fromarray(label).save(path)


def change(value: int) -> Spoil:
    def spoil(path: Path) -> None:
        label = np.array(Image.open(path))
        label[:3, :4] = value
        Image.fromarray(label).save(path)

    return spoil


def write_mask(path: Path) -> None:
    Image.fromarray(np.where(np.array(Image.open(path)) < 5, 255, 0).astype(np.uint8)).save(path)


SPOILS: dict[str, tuple[Spoil, str]] = {
    "out of range": (change(19), "holds the label 19 in 12 pixels"),
    "far out of range": (change(254), "holds the label 254 in 12 pixels"),
    "colours": (save(np.zeros((*SIZE, 3), np.uint8)), "has 3 channels"),
    "colours and alpha": (save(np.zeros((*SIZE, 4), np.uint8)), "has 4 channels"),
    "a mask": (write_mask, "holds nothing but 0 and 255"),
    "another size": (save(np.zeros((32, 32), np.uint8)), "32 × 32"),
    "no picture": (lambda path: path.write_text("no"), "not a readable label"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:200]), "not a readable label"),
}


@pytest.mark.parametrize("kind", ["CityscapesIds", "Cityscapes"])
@pytest.mark.parametrize("name", SPOILS)
def test_a_wrong_label_is_named(name: str, kind: str, spoilt: Path, weights: Path, tmp_path: Path) -> None:
    spoil, words = SPOILS[name]
    config = ["--config", CONFIGS / "generated.yml", *roots(spoilt)]
    for split, command in {
        "val": ["val", *config, f"val_dataset.type={kind}", "--model_path", weights],
        "train": ["train", *config, f"train_dataset.type={kind}", "--iters", 2, "--save_dir", tmp_path / "out"],
    }.items():
        path = first(spoilt, split)
        spoil(path)
        line = refuse(*command)
        assert path.name in line
        assert words in line


@pytest.mark.parametrize("name", ["out of range", "colours", "a mask"])
def test_a_wrong_file_of_label_ids_is_named(name: str, spoilt: Path, weights: Path) -> None:
    """They are mapped to train ids; 34 and more are none of Cityscapes'."""
    for path in spoilt.rglob("*labelTrainIds.png"):
        path.unlink()
    path = first(spoilt, "val", "labelIds.png")
    spoil = change(34) if name == "out of range" else SPOILS[name][0]
    spoil(path)
    line = refuse("val", "--config", CONFIGS / "generated.yml", *roots(spoilt), "--model_path", weights)
    assert path.name in line


def test_a_list_of_files_is_checked_too(dataset: Path, weights: Path, tmp_path: Path) -> None:
    """PaddleSeg's Dataset, of three classes; the labels have more."""
    images = sorted((dataset / "leftImg8bit" / "val").rglob("*.png"))
    labels = sorted((dataset / "gtFine" / "val").rglob("*labelTrainIds.png"))
    (tmp_path / "val.txt").write_text("".join(f"{a} {b}\n" for a, b in zip(images, labels, strict=True)))
    data = {"type": "Dataset", "num_classes": 3, "dataset_root": str(dataset), "mode": "val"}
    config = {
        "_base_": str(CONFIGS / "generated.yml"),
        "train_dataset": {"_inherited_": False, **data, "mode": "train", "train_path": str(tmp_path / "val.txt")},
        "val_dataset": {"_inherited_": False, **data, "val_path": str(tmp_path / "val.txt")},
        "model": {"num_classes": 3, "pretrained": None},
    }
    config["train_dataset"]["transforms"] = config["val_dataset"]["transforms"] = [{"type": "CCNetNormalize"}]
    (tmp_path / "three.yml").write_text(yaml.safe_dump(config))
    line = refuse("train", "--config", tmp_path / "three.yml", "--iters", 1, "--save_dir", tmp_path / "out")
    assert "labelTrainIds.png: holds the label" in line
    assert "0 … 2 and 255" in line
    assert "num_classes" in line


def test_masks_may_be_meant(spoilt: Path, weights: Path) -> None:
    write_mask(first(spoilt, "val"))
    config = ["--config", CONFIGS / "generated.yml", *roots(spoilt), "--model_path", weights]
    assert "--keep_masks" in refuse("val", *config)
    succeed("val", *config, "--keep_masks")


@pytest.mark.parametrize("command", ["val", "predict"])
def test_a_picture_that_is_cut_off_is_named(command: str, spoilt: Path, weights: Path, tmp_path: Path) -> None:
    image = sorted((spoilt / "leftImg8bit" / "val").rglob("*.png"))[1]
    image.write_bytes(image.read_bytes()[:60])
    more = ["--image_path", spoilt / "leftImg8bit" / "val", "--save_dir", tmp_path] if command == "predict" else []
    line = refuse(command, "--config", CONFIGS / "generated.yml", *roots(spoilt), "--model_path", weights, *more)
    assert image.name in line


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_else_is_printed_and_nothing_hangs(workers: int, spoilt: Path, weights: Path) -> None:
    """A loader's thread or process prints what its data set raises, and one without workers waits for ever."""
    path = first(spoilt, "val")
    change(19)(path)
    command = ("ccnet-seg", "val", "--config", CONFIGS / "generated.yml", *roots(spoilt), "--model_path", weights)
    try:
        result = run_process(*command, "--device", "cpu", "--num_workers", workers, timeout=200)
    except subprocess.TimeoutExpired:
        pytest.fail("it hangs")
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert path.name in result.stderr.splitlines()[-1]


class Failing(paddle.io.Dataset):
    """A user's own set, with a mistake."""

    num_classes, ignore_index = 3, 255

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Array]:
        return {"label": np.full((1, 2), [0, 2, 1][index]) if index < 2 else [][index]}


def test_what_a_users_data_set_raises_is_said_where_it_is_read() -> None:
    with checked_loading(keep_masks=False):
        loader = paddle.io.DataLoader(Failing(), batch_size=1)
        read = iter(loader)
        assert [next(read)["label"].tolist() for _ in range(2)] == [[[[0, 0]]], [[[2, 2]]]]
        with pytest.raises(InputError, match=r"picture 2: IndexError: .*test_data.py"):
            next(read)
    assert paddle.io.DataLoader is not type(loader)
