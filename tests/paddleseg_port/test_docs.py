"""The commands of docs/paddleseg.md, as they stand there and in their order."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from cityscapes.generate import make_dataset
from tests.paddleseg_port.conftest import CONFIGS, SIZE, succeed

PAGE = CONFIGS.parent / "docs" / "paddleseg.md"
QUICK = {"train": ["--iters", "2", "--save_interval", "2"]}


def documented() -> dict[str, list[str]]:
    """Step -> words of its command, from the page's table."""
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if "| `ccnet-seg " in line]
    return {step.strip(): shlex.split(command.strip(" `")) for _, step, command, _ in rows}


def test_the_reports_steps_are_there() -> None:
    steps = ["train", "val", "val, flip", "val, scales and flip", "predict", "export", "infer", "TIPC"]
    assert list(documented()) == steps


def test_each_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a smaller generated set, with two updates; the chain of TIPC has its own test."""
    make_dataset(tmp_path / "data" / "generated", counts={"train": 2, "val": 2}, size=SIZE)
    (tmp_path / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(tmp_path)
    for step, (program, *words) in documented().items():
        assert program == "ccnet-seg"
        if step != "TIPC":
            succeed(*words, *QUICK.get(step, []))
    assert len(list((tmp_path / "output" / "inferred").glob("*.png"))) == 2
    assert list((tmp_path / "output").glob("vdlrecords*"))
