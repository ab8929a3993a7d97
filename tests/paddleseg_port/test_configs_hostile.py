"""YAML that is no config is refused before PaddleSeg reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from paddle import nn
from paddleseg.cvlibs import manager
from paddleseg.utils import utils

from converter.errors import InputError
from paddleseg_port.configs import check_config
from parity.networks.port import build_config
from tests.paddleseg_port.conftest import CONFIGS, refuse


def laughing(levels: int) -> str:
    """A list of lists, each of ten of the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


MERGED = "a0: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9))
HOSTILE: dict[str, tuple[str, str]] = {
    "python": ("model: !!python/object/apply:os.system ['touch ran']", "python/object/apply:os.system"),
    "name": ("model: !!python/name:os.system", "no plain value"),
    "tuple": ("model: !!python/tuple [1]", "no plain value"),
    "aliases": (laughing(9), "aliases are written out"),
    "merged": (MERGED, "written out"),
    "itself": ("a: &a [*a]", "nested too deeply, or in itself"),
    "deep": ("a: " + "[" * 60 + "]" * 60, "nested too deeply"),
    "deeper": ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "list": ("- 1", "no YAML mapping"),
    "nothing": ("", "no YAML mapping"),
    "binary": ("a: !!binary aGVsbG8=", "!!binary"),
    "broken": ("a: [", "not readable YAML"),
    "own base": ("_base_: own base.yml", "inherits from"),
    "no base": ("_base_: [there is none.yml]", "there is none.yml: no such file"),
    "folder": ("_base_: .", "is a folder"),
    "large": ("#" * (1 << 20) + "\na: 1", "more than"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_config_is_refused(name: str, tmp_path: Path) -> None:
    text, reason = HOSTILE[name]
    path = tmp_path / f"{name}.yml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        check_config(path)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 600 + 2 * len(str(tmp_path))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yml")
    (tmp_path / "b.yml").write_text("_base_: a.yml")
    for name in ("a.yml", "b.yml"):
        with pytest.raises(InputError, match="regular"):
            check_config(tmp_path / name)
    (tmp_path / "c.yml").symlink_to("c.yml")
    with pytest.raises(InputError, match="no such file"):
        check_config(tmp_path / "c.yml")


def test_configs_are_let_through(tmp_path: Path) -> None:
    for path in CONFIGS.glob("*.yml"):
        check_config(path)
    (tmp_path / "base.yml").write_text("a: &a {x: 1.5, y: [true, null, 2020-01-01]}\nb: {<<: *a}")
    for name in ("left", "right"):
        (tmp_path / f"{name}.yml").write_text("_base_: base.yml")
    (tmp_path / "both.yml").write_text("_base_: [left.yml, right.yml]")
    check_config(tmp_path / "both.yml")


@pytest.mark.parametrize("command", ["train", "val", "export", "predict", "infer", "tipc"])
def test_every_command_looks_first(command: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(f"model: !!python/object/apply:os.system ['touch {tmp_path / 'ran'}']")
    more = {
        "predict": ["--model_path", path, "--image_path", path],
        "infer": ["--image_path", path],
        "tipc": ["lite_train_lite_infer", "--save_dir", tmp_path / "out"],
    }
    words = [*more.get(command, []), "--config", path]
    assert "no plain value" in refuse(command, *words)
    assert not (tmp_path / "ran").exists()


class Twice(nn.Layer):
    """A model of the user's, which loads what it is told in PaddleSeg's way."""

    def __init__(self, num_classes: int, in_channels: int, own_pretrained: str) -> None:
        super().__init__()
        utils.load_pretrained_model(self, own_pretrained)


def test_the_model_of_a_config_is_built_behind_the_gate(
    hostile: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ccnet-parity --config` leaves the model's and its backbone's `pretrained` out; no other is unpickled."""
    monkeypatch.setitem(manager.MODELS.components_dict, "Twice", Twice)
    path = tmp_path / "own.yml"
    path.write_text(
        f"_base_: {CONFIGS / 'generated.yml'}\nmodel:\n  _inherited_: false\n  type: UNetPlusPlus\n  num_classes: 19\n"
        f"  in_channels: 3\n  pretrained: {hostile(tmp_path / 'hostile.pdparams')}\n"
    )
    assert "hostile.pdparams was not loaded" in build_config(path).notes[0]
    path.write_text(path.read_text().replace("UNetPlusPlus", "Twice").replace("  pretrained", "  own_pretrained"))
    with pytest.raises(InputError, match="refused, the pickle names code"):
        build_config(path)
    assert not (tmp_path / "ran").exists()
