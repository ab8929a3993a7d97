"""`ccnet-convert --port`: a checkpoint under the names of the user's own network, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from converter import read_checkpoint
from tests.cli.run import assert_one_line_error, run
from tests.cli.test_config import CONFIG
from tests.optional import needs_paddleseg
from twins.standin import make_state_dict, save_state_dict

PORT = "tests.parity.renamed_port:build"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`official.pth`, and `mine.pdparams` converted from it for a port with other names."""
    folder = tmp_path_factory.mktemp("weights")
    save_state_dict(folder / "official.pth", make_state_dict("official", depth=18))
    result = run("ccnet-convert", folder / "official.pth", folder / "mine.pdparams", "--port", PORT, "--check")
    assert result.returncode == 0, result.stderr
    (folder / "said.txt").write_text(result.stdout)
    return folder


def test_what_it_says(folder: Path) -> None:
    said = (folder / "said.txt").read_text()
    for words in (
        f"{PORT}: its layers were paired by proposal",
        "fold weight, copy",
        "head.cca.gamma              cca.scale",
        "negative elements of folded scales are kept in the manifest",
        "PASSED: both frameworks agree",
        "loaded strictly into a newly built port",
    ):
        assert words in said


def test_the_file_is_the_ports(folder: Path) -> None:
    result = run("ccnet-parity", folder / "official.pth", "--port", PORT, "--port-weights", folder / "mine.pdparams")
    assert result.returncode == 0, result.stderr + result.stdout
    assert "came without weights" not in result.stdout


def test_the_way_back(folder: Path, tmp_path: Path) -> None:
    result = run("ccnet-convert", folder / "mine.pdparams", tmp_path / "back.pth")
    assert result.returncode == 0, result.stderr
    assert "res{4…5}.{0…1}.reduce.norm" in result.stdout
    assert "bit for bit what was converted" in result.stdout
    back, source = (read_checkpoint(path).tensors for path in (tmp_path / "back.pth", folder / "official.pth"))
    assert list(back) == list(source)
    assert all(back[key].tobytes() == array.tobytes() for key, array in source.items())


def test_other_commands_read_it(folder: Path, tmp_path: Path) -> None:
    result = run("ccnet-convert", "--diff", folder / "mine.pdparams", folder / "official.pth")
    assert result.returncode == 0, result.stderr
    assert "187 equal, 0 different, 0 missing" in result.stdout
    result = run("ccnet-convert", "--inspect", folder / "mine.pdparams", "--json")
    assert json.loads(result.stdout)["family"] == "official"
    result = run("ccnet-convert", folder / "mine.pdparams", tmp_path / "twin.pdparams", "--json")
    assert result.returncode == 0, result.stderr
    assert "head.attention.gamma" in read_checkpoint(tmp_path / "twin.pdparams").tensors


def test_a_wrong_port_is_not_given_a_file(folder: Path, tmp_path: Path) -> None:
    wrong = "tests.parity.renamed_port:build_wrong"
    result = run(
        "ccnet-convert", folder / "official.pth", tmp_path / "mine.pdparams", "--port", wrong, "--check", "--json"
    )
    assert_one_line_error(result, 1, "mine.pdparams: not written, for the port does not compute")
    assert json.loads(result.stdout)["check"]["passed"] is False
    assert not list(tmp_path.iterdir())


def test_dry_run(folder: Path, tmp_path: Path) -> None:
    arguments = (folder / "official.pth", tmp_path / "mine.pdparams", "--port", PORT, "--dry-run")
    result = run("ccnet-convert", *arguments)
    assert result.returncode == 0, result.stderr
    assert "not compared with the reference: --check" in result.stdout
    assert "dry run: nothing was written" in result.stdout
    assert not list(tmp_path.iterdir())


@needs_paddleseg
def test_a_config(tmp_path: Path) -> None:
    (tmp_path / "ccnet.yml").write_text(CONFIG.format(recurrence=2))
    save_state_dict(tmp_path / "paddleseg.pdparams", make_state_dict("paddleseg", depth=50))
    arguments = (tmp_path / "paddleseg.pdparams", tmp_path / "mine.pdparams", "--config", tmp_path / "ccnet.yml")
    result = run("ccnet-convert", *arguments)
    assert result.returncode == 0, result.stderr
    source, written = (read_checkpoint(tmp_path / name).tensors for name in ("paddleseg.pdparams", "mine.pdparams"))
    assert written.keys() == source.keys()
    assert all(np.array_equal(written[name], array) for name, array in source.items())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--check",), "--mapping, --reference, --inputs and --check belong to --port or --config"),
        (("--port", PORT, "--dtype", "float16"), "--dtype: a port's weights have its own names and dtypes"),
        (("--port", PORT, "--diff"), "--inspect and --diff read files alone"),
    ],
)
def test_usage(folder: Path, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    result = run("ccnet-convert", folder / "official.pth", tmp_path / "mine.pdparams", *options)
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())


def test_a_reference_of_ones_own(tmp_path: Path) -> None:
    """Of no family: back by the manifest alone."""
    import torch

    from tests.parity.conversion.networks import build_reference

    torch.save(build_reference().state_dict(), tmp_path / "own.pth")
    networks = ("--reference", "tests.parity.conversion.networks:build_reference")
    networks += ("--port", "tests.parity.conversion.networks:build_port")
    np.savez(tmp_path / "words.npz", words=np.array([[1, 5, 3, 2, 2]]))
    check = ("--check", "--inputs", tmp_path / "words.npz")
    result = run("ccnet-convert", tmp_path / "own.pth", tmp_path / "mine.pdparams", *networks, *check)
    assert result.returncode == 0, result.stderr
    assert "attention.in_proj_weight" in result.stdout
    assert "PASSED: both frameworks agree" in result.stdout
    result = run("ccnet-convert", tmp_path / "mine.pdparams", tmp_path / "back.pth")
    assert result.returncode == 0, result.stderr
    assert "back to the keys of tests.parity.conversion.networks:build_reference" in result.stdout
    assert "bit for bit what was converted" in result.stdout
    result = run("ccnet-parity", tmp_path / "mine.pdparams", tmp_path / "mine.pdparams")
    assert_one_line_error(result, 2, "of no known family", "ccnet-convert takes them back")
    result = run("ccnet-convert", tmp_path / "mine.pdparams", tmp_path / "again.pth", "--family", "official")
    assert result.returncode == 2
    assert "--family" in result.stderr
