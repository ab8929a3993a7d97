"""Two files compared: equal, different and missing tensors, whatever their keys and formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from converter import InputError, Reading, convert_file, read_checkpoint
from converter.difference import Difference, compare_files
from converter.files.write import FORMATS, write_tensors
from converter.reports import print_difference
from families import FAMILIES, get_family
from tests.converter.checkpoints import Array, make_tensors, without


def save(path: Path, tensors: dict[str, Array]) -> Path:
    write_tensors(path, FORMATS[path.suffix], tensors.items())
    return path


def printed(difference: Difference) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        print_difference(difference, console)
    return capture.get()


@pytest.fixture
def official(tmp_path: Path) -> Path:
    return save(tmp_path / "official.pth", make_tensors())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversion_equals_its_source(tmp_path: Path, family: str) -> None:
    ending = ".pdparams" if get_family(family).framework == "paddle" else ".pth"
    source = save(tmp_path / f"source{ending}", make_tensors(family))
    convert_file(source, tmp_path / "out.pdparams", load_check=lambda plan, tensors: None)
    convert_file(source, tmp_path / "twin.safetensors", keys="canonical", load_check=lambda plan, tensors: None)
    for left, right in (("out.pdparams", source.name), (source.name, "twin.safetensors"), ("out.pdparams",) * 2):
        difference = compare_files(tmp_path / left, tmp_path / right)
        assert difference, (left, right)
        assert len(difference.equal) > 150
        assert "0 different, 0 missing" in printed(difference)


CHANGES: dict[str, tuple[str, Callable[[Array], Array], dict[str, Any]]] = {
    "one element": (
        "conv1.weight",
        lambda array: _set(array, (3, 1, 2, 0), array[3, 1, 2, 0] + np.float32(0.25)),
        {"name": "backbone.stem.0.conv.weight", "max_abs": 0.25, "index": (3, 1, 2, 0), "elements": 1},
    ),
    "NaN": (
        "bn1.bias",
        lambda array: _set(array, 5, np.nan),
        {"name": "backbone.stem.0.norm.bias", "max_abs": np.nan, "index": (5,), "elements": 1},
    ),
    "infinite": (
        "bn1.bias",
        lambda array: _set(array, 5, np.inf),
        {"name": "backbone.stem.0.norm.bias", "max_abs": np.inf, "index": (5,), "elements": 1},
    ),
    "wider dtype": (
        "bn1.bias",
        lambda array: array.astype(np.float64),
        {"name": "backbone.stem.0.norm.bias", "max_abs": 0.0, "elements": 0, "dtypes": ("float32", "float64")},
    ),
    "sign of a folded scale": ("bn1.weight", lambda array: -array, {}),
}


def _set(array: Array, index: Any, value: Any) -> Array:
    changed = array.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize("name", CHANGES)
def test_one_changed_tensor(official: Path, tmp_path: Path, name: str) -> None:
    key, change, expected = CHANGES[name]
    tensors = make_tensors()
    tensors[key] = change(tensors[key])
    difference = compare_files(official, save(tmp_path / "changed.safetensors", tensors))
    assert bool(difference) == (not expected)
    assert (difference.only_left, difference.only_right) == ((), ())
    if expected:
        (found,) = difference.different
        for attribute, value in expected.items():
            actual = getattr(found, attribute)
            assert actual == value or (np.isnan(actual) and np.isnan(value)), attribute
        assert expected["name"] in printed(difference)
        json.loads(json.dumps(difference.to_json(), allow_nan=False))


def test_equal_nan_are_equal(tmp_path: Path) -> None:
    tensors = make_tensors()
    tensors["bn1.bias"] = _set(tensors["bn1.bias"], 0, np.nan)
    left, right = (save(tmp_path / f"{name}.pth", tensors) for name in "ab")
    assert compare_files(left, right)
    tensors["bn1.bias"] = tensors["bn1.bias"].astype(np.float64)
    (found,) = compare_files(left, save(right, tensors)).different
    assert (found.max_abs, found.elements) == (0.0, 0)


def test_missing_and_foreign_tensors(official: Path, tmp_path: Path) -> None:
    tensors = without(make_tensors(), ending="gamma")
    other = save(tmp_path / "other.pth", {**tensors, "extra.weight": np.ones(3, np.float32)})
    difference = compare_files(official, other)
    assert not difference
    assert (difference.only_left, difference.only_right) == (("head.attention.gamma",), ("extra.weight",))
    text = printed(difference)
    assert f"1 only in {official}: head.attention.gamma" in text
    assert "0 different, 2 missing" in text


def test_two_families(official: Path, tmp_path: Path) -> None:
    difference = compare_files(official, save(tmp_path / "mmseg.pth", make_tensors("mmseg")))
    assert difference.families == ("official", "mmseg")
    assert difference.only_left == ("auxiliary_head.fuse.conv.bias",)
    shapes = {found.name: found.shapes for found in difference.different if found.max_abs is None}
    assert shapes["backbone.stem.0.conv.weight"] == ((8, 3, 3, 3), (4, 3, 3, 3))
    assert "8×3×3×3 / 4×3×3×3" in printed(difference)


def test_imagenet_is_a_part_of_official(tmp_path: Path, official: Path) -> None:
    """Its scales are plain, official's are folded."""
    backbone = {key: array for key, array in make_tensors().items() if not key.startswith(("head", "dsn"))}
    difference = compare_files(save(tmp_path / "imagenet.pth", backbone), official)
    assert difference.families == ("imagenet", "official")
    assert {found.name.rpartition(".")[2] for found in difference.different} == {"weight"}
    assert all(".norm." in found.name for found in difference.different)
    assert all(name.startswith(("head", "auxiliary_head")) for name in difference.only_right)


def test_files_that_cannot_be_mapped(official: Path, tmp_path: Path) -> None:
    unlike = save(tmp_path / "unlike.pth", {"w": np.ones(3, np.float32)})
    with pytest.raises(InputError, match=r"unlike\.pth: cannot tell its family"):
        compare_files(official, unlike)
    tensors = make_tensors("mmseg")
    tensors["decode_head.cca.gamma.scale"] = np.ones(2, np.float32)
    with pytest.raises(InputError, match="not a mmseg checkpoint: 1 wrong shape"):
        compare_files(official, save(tmp_path / "shape.pth", tensors))


@pytest.mark.parametrize("family", ["official", "pure_pytorch", "mmseg"])
def test_a_hand_made_paddle_file(tmp_path: Path, family: str) -> None:
    """A family's keys with Paddle's leaves, as who writes his own script saves them."""
    tensors = make_tensors(family)
    leaves = {"running_mean": "_mean", "running_var": "_variance"}
    renamed = {
        f"{key.rpartition('.')[0]}.{leaves.get(key.rpartition('.')[2], key.rpartition('.')[2])}".lstrip("."): array
        for key, array in tensors.items()
        if not key.endswith("num_batches_tracked")
    }
    assert set(renamed) - set(tensors)
    source, by_hand = save(tmp_path / "source.pth", tensors), save(tmp_path / "by_hand.pdparams", renamed)
    difference = compare_files(source, by_hand)
    assert difference
    assert difference.families == (family, family)
    convert_file(by_hand, tmp_path / "out.pdparams", load_check=lambda plan, tensors: None)
    assert compare_files(source, tmp_path / "out.pdparams")


def test_an_entry_is_of_the_file_that_has_it(official: Path, tmp_path: Path) -> None:
    state = {key: torch.from_numpy(np.array(array)) for key, array in make_tensors().items()}
    path = tmp_path / "training.pth"
    torch.save({"state_dict": {"w": torch.ones(1)}, "other": state}, path)
    difference = compare_files(path, official, reading=Reading(entry="other"))
    assert difference
    assert "taken: other (--weights-entry)" in printed(difference)
    with pytest.raises(InputError, match="--weights-entry nothing is no set"):
        compare_files(path, official, reading=Reading(entry="nothing"))


def test_whole_numbers_are_no_weights(official: Path, tmp_path: Path) -> None:
    convert_file(official, tmp_path / "out.safetensors", keys="canonical", load_check=lambda plan, tensors: None)
    tensors = dict(read_checkpoint(tmp_path / "out.safetensors").tensors)
    tensors["head.attention.gamma"] = np.ones(1, np.int32)
    with pytest.raises(InputError, match=r"head\.attention\.gamma is int32, the twins need a floating dtype"):
        compare_files(official, save(tmp_path / "whole.pdparams", tensors))
