"""Checkpoints in several files are read by their index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from converter import read_checkpoint
from tests.converter.checkpoints import Array, assert_same_tensors, refusal, save_pth

PARTS: list[dict[str, Array]] = [
    {"w": np.arange(6, dtype=np.float32).reshape(2, 3)},
    {"b": np.ones(2, np.float32), "c": np.zeros(1, np.float32)},
]


@pytest.fixture(params=["safetensors", "bin", "pdparams"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The index of a checkpoint in two files."""
    where: dict[str, str] = {}
    for number, part in enumerate(PARTS, start=1):
        name = f"model-0000{number}-of-00002.{request.param}"
        if request.param == "safetensors":
            save_file(part, tmp_path / name)
        else:
            save_pth(tmp_path / name, part)
        where |= dict.fromkeys(part, name)
    path = tmp_path / f"model.{request.param}.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 36}, "weight_map": where}))
    return path


def test_an_index(index: Path) -> None:
    checkpoint = read_checkpoint(index)
    assert checkpoint.format == "shards"
    assert_same_tensors(checkpoint.tensors, {**PARTS[0], **PARTS[1]})


def test_one_shard_is_said_to_be_one(index: Path) -> None:
    for shard in index.parent.glob("*-of-*"):
        assert f"is one shard of 2; give {index.name}" in refusal(shard)
    index.unlink()
    assert "give the .index.json that belongs to it" in refusal(shard)


def test_a_missing_shard(index: Path) -> None:
    next(index.parent.glob("*00002-of*")).unlink()
    assert "00002-of-00002" in refusal(index)
    assert "is missing" in refusal(index)


BAD: dict[str, Any] = {
    "no JSON": "{",
    "no map": {"metadata": {}},
    "an empty map": {"weight_map": {}},
    "a list": {"weight_map": ["a"]},
    "a number": {"weight_map": {"w": 3}},
    "another folder": {"weight_map": {"w": "../x.pth"}},
    "itself": {"weight_map": {"w": "x.index.json"}},
    "nested a hundred thousand deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_indices(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.index.json"
    path.write_text(BAD[name] if isinstance(BAD[name], str) else json.dumps(BAD[name]))
    refusal(path)


def test_a_key_that_its_shard_has_not(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "a.bin")
    path = tmp_path / "x.index.json"
    path.write_text(json.dumps({"weight_map": {"w": "a.bin", "b": "a.bin"}}))
    with pytest.raises(Exception, match="has no tensor b"):
        read_checkpoint(path)
