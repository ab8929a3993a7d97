"""`ccnet-convert` in every direction, and `--inspect` and `--diff`: exit codes and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converter import read_checkpoint
from tests.cli.run import assert_one_line_error, run
from twins.standin import make_state_dict, save_state_dict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`official.pth` and `mmseg.pth`, and the first converted to `official.pdparams`."""
    folder = tmp_path_factory.mktemp("weights")
    for family in ("official", "mmseg"):
        save_state_dict(folder / f"{family}.pth", make_state_dict(family, depth=18, num_classes=5))
    result = run("ccnet-convert", folder / "official.pth", folder / "official.pdparams", "--recurrence", 2)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_the_way_back(folder: Path, tmp_path: Path, ending: str) -> None:
    result = run("ccnet-convert", folder / "official.pdparams", tmp_path / f"back{ending}")
    assert result.returncode == 0, result.stderr
    for words in ("because its manifest says so", "unfold weight", "their signs are the manifest's", "bit for bit"):
        assert words in result.stdout
    assert "every key and shape is official's" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == [f"back{ending}"]
    back, source = (read_checkpoint(path).tensors for path in (tmp_path / f"back{ending}", folder / "official.pth"))
    assert all(back[key].tobytes() == array.tobytes() for key, array in source.items())
    assert back.keys() == source.keys()


def test_torch_weights_of_the_twin(folder: Path, tmp_path: Path) -> None:
    result = run("ccnet-convert", folder / "official.pdparams", tmp_path / "twin.pth", "--to", "canonical", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        **json.loads((tmp_path / "twin.manifest.json").read_text()),
        "reason": "its manifest says so",
    }
    assert "head.fuse.norm.running_mean" in read_checkpoint(tmp_path / "twin.pth").tensors


def test_another_networks_keys(folder: Path, tmp_path: Path) -> None:
    result = run("ccnet-convert", folder / "official.pth", tmp_path / "out.pdparams", "--to", "paddleseg")
    assert_one_line_error(result, 2, "stem 64-64-128, not 32-32-64", "convolution of fuse", "nearest that is possible")
    assert not list(tmp_path.iterdir())


def test_semantics_and_corners(folder: Path, tmp_path: Path) -> None:
    result = run("ccnet-convert", folder / "official.pth", tmp_path / "a.pdparams", "--abn-semantics", "plain")
    assert result.returncode == 0, result.stderr
    assert "fold" not in result.stdout
    result = run("ccnet-convert", folder / "mmseg.pth", tmp_path / "b.pdparams", "--align-corners")
    assert result.returncode == 0, result.stderr
    assert "align_corners=True" in result.stdout


def test_inspect(folder: Path) -> None:
    result = run("ccnet-convert", "--inspect", folder / "official.pdparams")
    assert result.returncode == 0, result.stderr
    for words in ("SHA-256", "the twins' (canonical)", "ResNet-18, 5 classes", "recurrence", "64-64-128", "nothing"):
        assert words in result.stdout


def test_inspect_json_contract(folder: Path) -> None:
    result = run("ccnet-convert", folder / "official.pth", "--inspect", "--json")
    found = json.loads(result.stdout)
    assert (found["family"], found["depth"], found["num_classes"]) == ("official", 18, 5)
    keys = "file format bytes sha256 name_hash name_hash_matches family reason keys depth num_classes recurrence"
    more = "align_corners architecture problems tensors parameters buffers wrappers skipped dtypes suspicious"
    assert set(found) == {*keys.split(), *more.split(), "negative_scales", "published", "auxiliary", "sets", "notes"}


def test_inspect_a_damaged_release(folder: Path, tmp_path: Path) -> None:
    release = tmp_path / "ccnet_r50-d8_769x769_40k_cityscapes_20200616_145125-76d11884.pth"
    os.link(folder / "mmseg.pth", release)
    result = run("ccnet-convert", "--inspect", release)
    assert result.returncode == 1
    assert "76d11884 is NOT the file's" in result.stdout


def test_inspect_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert_one_line_error(run("ccnet-convert", "--inspect", tmp_path / "text.pth"), 2, "not a checkpoint")


def test_diff(folder: Path, tmp_path: Path) -> None:
    same = run("ccnet-convert", "--diff", folder / "official.pth", folder / "official.pdparams")
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "187 equal, 0 different, 0 missing")
    state = make_state_dict("official", depth=18, num_classes=5)
    state["head.cca.gamma"] += np.float32(0.5)
    save_state_dict(tmp_path / "changed.pth", state)
    result = run("ccnet-convert", "--diff", folder / "official.pdparams", tmp_path / "changed.pth")
    assert result.returncode == 1
    assert "186 equal, 1 different, 0 missing" in result.stdout
    assert "5.0e-01" in result.stdout
    result = run("ccnet-convert", "--diff", folder / "official.pdparams", tmp_path / "changed.pth", "--json")
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert [entry["name"] for entry in found["different"]] == ["head.attention.gamma"]
    assert set(found) == {"same", "left", "right", "families", "equal", "different", "only_left", "only_right", "notes"}
    assert found["same"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--inspect", "a.pth", "b.pth"], "--inspect takes one file"),
        (["--inspect", "--diff", "a.pth"], "--inspect takes one file"),
        (["--diff", "a.pth"], "Missing argument 'TARGET'"),
        (["a.pth"], "Missing argument 'TARGET'"),
        ([], "Missing argument 'SOURCE'"),
    ],
)
def test_usage_errors(options: list[str], words: str) -> None:
    result = run("ccnet-convert", *options)
    assert result.returncode == 2
    assert words in result.stderr


def test_inspection_needs_no_framework(folder: Path) -> None:
    script = (
        "import sys; from click.testing import CliRunner; from cli import convert; "
        "result = CliRunner().invoke(convert, ['--inspect', sys.argv[1]]); "
        "print(result.exit_code, sorted({'torch', 'paddle'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(folder / "official.pth")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "0 []"
