"""A family is one file: put into the package, everything else takes it in."""

from __future__ import annotations

from pathlib import Path

import pytest

import families
import models_paddle
import models_torch
from converter import convert_file, detect, read_checkpoint
from converter.directions import render_table
from converter.inspect import inspect_file
from families import FAMILIES, Family
from tests.converter.checkpoints import assert_same_tensors, load_into_twin, make_tensors, save_pth

FILE = """
from dataclasses import replace

from families.mmseg import FAMILY as MMSEG

FAMILY = replace(
    MMSEG,
    name="example",
    description="an example",
    architecture=replace(MMSEG.architecture, stem_widths=(16, 16, 32), average_pool_shortcut=True),
    rules=tuple(replace(rule, source=f"net.{rule.source}") for rule in MMSEG.rules),
    variants=(),
    published=(),
)
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "example.py").write_text(FILE)
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(folder)])
    found = families._discover()
    assert found.keys() - FAMILIES.keys() == {"example"}
    monkeypatch.setitem(FAMILIES, "example", found["example"])
    return found["example"]


def test_one_file_is_enough(example: Family, tmp_path: Path) -> None:
    tensors = make_tensors("example")
    assert detect(tensors, path="example").plan.family is example
    source, target, back = (tmp_path / name for name in ("source.pth", "out.pdparams", "back.safetensors"))
    convert_file(save_pth(source, tensors), target, load_check=load_into_twin)
    convert_file(target, back, load_check=load_into_twin)
    assert_same_tensors(read_checkpoint(back).tensors, tensors)
    assert inspect_file(target).family == "example"
    assert "| `example`: an example | plain | example, canonical |" in render_table()
    for package in (models_torch, models_paddle):
        network = package.build_ccnet("example", depth=18)
        assert tuple(network.state_dict()["backbone.stem.2.conv.weight"].shape) == (4, 2, 3, 3)
        assert network.backbone.stage2[0].shortcut.pool is not None
