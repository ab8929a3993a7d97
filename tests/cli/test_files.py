"""Files as people have them, through the commands: exit code and output."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.run import assert_one_line_error, call, run
from twins.standin import make_state_dict

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return {
        key: torch.from_numpy(array) for key, array in make_state_dict("official", depth=18, num_classes=19).items()
    }


@pytest.fixture(scope="module")
def training(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a training script saves: an average beside the weights, arguments, strangers, a wrapper's prefix."""
    path = tmp_path_factory.mktemp("source") / "training.pth"
    average = {key: value * 0.5 if value.is_floating_point() else value for key, value in state.items()}
    content = {
        "net": {f"_orig_mod.{key}": value for key, value in state.items()} | {"distill.w": torch.ones(1)},
        "net_ema": average,
        "args": argparse.Namespace(lr=0.1),
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def without_head(state: State, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("without")
    torch.save({key: value for key, value in state.items() if not key.startswith("dsn")}, folder / "source.pth")
    result = run("ccnet-convert", folder / "source.pth", folder / "out.pdparams", "--recurrence", 1)
    assert result.returncode == 0, result.stderr
    assert "note: a network without the auxiliary head" in result.stdout
    return folder / "source.pth", folder / "out.pdparams"


def test_convert_says_what_it_took_and_left(training: Path, tmp_path: Path) -> None:
    assert_one_line_error(
        run("ccnet-convert", training, tmp_path / "out.pdparams"), 2, "1 unexpected: distill.w", "--ignore GLOB"
    )
    result = run("ccnet-convert", training, tmp_path / "out.pdparams", "--ignore", "distill.*")
    assert result.returncode == 0, result.stderr
    for words in (
        "taken off: net, _orig_mod.",
        "args (argparse.Namespace)",
        "distill.w (--ignore)",
        "net (223 tensors), net_ema (222 tensors); taken: net (the only one that is no running average)",
    ):
        assert words in result.stdout
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert (manifest["sets"], manifest["auxiliary"]) == ({"net": 223, "net_ema": 222}, True)


def test_the_entry_is_chosen(training: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.pdparams"
    assert run("ccnet-convert", training, target, "--weights-entry", "net_ema", "--json").returncode == 0
    difference = run("ccnet-convert", "--diff", training, target, "--weights-entry", "net_ema")
    assert difference.returncode == 0, difference.stdout
    inspection = run("ccnet-convert", "--inspect", training, "--weights-entry", "net_ema", "--json")
    assert json.loads(inspection.stdout)["wrappers"] == ["net_ema"]
    assert_one_line_error(
        run("ccnet-convert", training, target, "--force", "--weights-entry", "net_swa"), 2, "net (223 tensors)"
    )


def test_parity_takes_the_same_entry(training: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.pdparams"
    assert run("ccnet-convert", training, target, "--weights-entry", "net_ema").returncode == 0
    options: tuple[Any, ...] = ("--input-size", 33, "--weights-entry", "net_ema")
    result = call("ccnet-parity", training, target, *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "taken: net_ema (--weights-entry)" in result.stdout
    other = call("ccnet-parity", training, target, "--input-size", 33, "--ignore", "distill.*")
    assert other.returncode == 1
    assert "weights differ from the source's" in other.stdout


def test_parity_without_the_auxiliary_head(without_head: tuple[Path, Path]) -> None:
    result = call("ccnet-parity", *without_head, "--input-size", 33)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "note: a network without the auxiliary head" in result.stdout
    assert "PASSED" in result.stdout
    layers = call("ccnet-parity", *without_head, "--input-size", 33, "--layer-by-layer")
    assert layers.returncode == 0, layers.stdout


def test_evaluation_without_the_auxiliary_head(without_head: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = without_head
    made = call("ccnet-eval", "--make-dataset", tmp_path / "set", "--count", "1,1", "--size", "64,128")
    assert made.returncode == 0, made.stderr
    result = call("ccnet-eval", tmp_path / "set", "--torch", source, "--paddle", target, "--whole", "--no-padding")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "a network without the auxiliary head" in result.stdout


def test_certification_needs_it(without_head: tuple[Path, Path], tmp_path: Path) -> None:
    result = call("ccnet-parity", "certify", *without_head, "--report", tmp_path)
    assert_one_line_error(result, 2, "without the auxiliary head")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for command in (
        ("ccnet-convert", tmp_path / "pipe.pth", tmp_path / "out.pdparams"),
        ("ccnet-convert", "--inspect", "/dev/zero"),
        ("ccnet-convert", "--diff", "/dev/null", tmp_path / "pipe.pth"),
    ):
        assert_one_line_error(run(*command, timeout=60), 2, "is not a regular file")


def test_a_key_with_markup_is_shown_as_it_is(state: State, tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    torch.save({**state, "[bold]x[/y]": torch.ones(1)}, source)
    result = run("ccnet-convert", source, tmp_path / "out.pdparams", "--ignore", "[[]bold*")
    assert result.returncode == 0, result.stderr
    assert "[bold]x[/y] (--ignore)" in result.stdout
    assert run("ccnet-convert", "--inspect", source).returncode == 0
