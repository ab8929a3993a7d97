"""A user's own model, registered by his module: `--import` makes every subcommand know it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from paddleseg.cvlibs import manager

from paddleseg_port.tipc import plan_steps
from tests.paddleseg_port.conftest import CONFIGS, refuse, succeed

MODULE = '''
from paddle import nn
from paddleseg.cvlibs import manager

@manager.MODELS.add_component
class Tiny(nn.Layer):
    """Two convolutions, and two outputs in training."""

    def __init__(self, num_classes=19, in_channels=3, fails=False):
        super().__init__()
        self.fails = fails
        self.first, self.last = nn.Conv2D(in_channels, 4, 3, padding=1), nn.Conv2D(4, num_classes, 1)

    def forward(self, images):
        if self.fails:
            raise RuntimeError("my mistake")
        logits = self.last(nn.functional.relu(self.first(images)))
        return [logits, logits] if self.training else [logits]

@manager.TRANSFORMS.add_component
class Halve:
    def __call__(self, data):
        data["img"] = data["img"] / 255
        return data
'''


@pytest.fixture
def own(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The options that name a config of `Tiny`; its module is a file in the working folder."""
    (tmp_path / "my_package.py").write_text(MODULE)
    config = {
        "_base_": str(CONFIGS / "generated.yml"),
        "model": {"_inherited_": False, "type": "Tiny", "num_classes": 19},
    }
    for split in ("train", "val"):
        config[f"{split}_dataset"] = {"dataset_root": str(dataset), "transforms": [{"type": "Halve"}]}
    (tmp_path / "my.yml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    yield ["--import", "my_package", "--config", "my.yml"]
    for registry, name in ((manager.MODELS, "Tiny"), (manager.TRANSFORMS, "Halve")):
        registry.components_dict.pop(name, None)
    sys.modules.pop("my_package", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def test_every_subcommand_knows_it(own: list[object], dataset: Path) -> None:
    succeed("train", *own, "--iters", 2, "--save_interval", 2, "--save_dir", "out")
    model, images = ["--model_path", "out/iter_2/model.pdparams"], ["--image_path", dataset / "leftImg8bit" / "val"]
    succeed("train", *own, "--iters", 3, "--resume_model", "out/iter_2", "--save_dir", "out")
    succeed("val", *own, *model)
    succeed("predict", *own, *model, *images, "--save_dir", "predicted")
    succeed("export", *own, *model, "--save_dir", "exported")
    expected = ["--save_dir", "inferred", "--expected", "predicted/pseudo_color_prediction"]
    succeed("infer", "--import", "my_package", "--config", "exported/deploy.yaml", *images, *expected)


def test_every_step_of_the_chain_imports_it() -> None:
    steps = list(plan_steps(Path("my.yml"), Path("logs"), Path("data"), device="cpu", modules=["a", "b.c"]))
    assert len(steps) == 6
    for step in steps:
        words = " ".join(map(str, step.arguments))
        assert "--import a --import b.c" in words


def test_without_it_the_model_is_not_known(own: list[object]) -> None:
    assert "Tiny" in refuse("val", *own[2:])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "ModuleNotFoundError: No module named 'no_module'"),
        ("import nothing_like_it", "ModuleNotFoundError"),
        ("x = (", "SyntaxError"),
        ("\nraise OSError('mine')", "OSError: mine, no_module.py:2"),
    ],
)
def test_a_module_that_cannot_be_imported(
    text: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "no_module.py").write_text(text)
    line = refuse("val", "--import", "no_module", "--config", CONFIGS / "generated.yml")
    assert line.startswith("error: --import no_module: cannot import it")
    assert words in line


@pytest.mark.parametrize("command", ["train", "val"])
def test_what_a_users_model_raises_is_said_with_its_line(command: str, own: list[object]) -> None:
    succeed("train", *own, "--iters", 1, "--save_dir", "out")
    more = ["--save_dir", "other"] if command == "train" else ["--model_path", "out/iter_1/model.pdparams"]
    line = refuse(command, *own, "--opts", "model.fails=True", *more)
    assert "RuntimeError: my mistake (my_package.py:16)" in line
