"""The weights that a comparison gives both networks, whatever the direction of the conversion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from converter import convert_file
from converter.errors import InputError
from families import FAMILIES
from tests.converter.checkpoints import load_into_twin
from twins.standin import make_state_dict
from twins.weights import WeightPair, read_pair, read_source

Files = tuple[Path, Path]


def make(folder: Path, family: str = "official", *, ending: str = "pdparams", **options: object) -> Files:
    """A family's own checkpoint and its conversion."""
    source, target = folder / "source.safetensors", folder / f"target.{ending}"
    save_file(make_state_dict(family, seed=1, depth=18), source)
    convert_file(source, target, **{"family": family, "load_check": load_into_twin, **options})
    return source, target


def assert_equal(pair: WeightPair) -> None:
    assert pair.different == ()
    assert pair.torch.keys() == pair.paddle.keys()
    assert all(pair.torch[name].tobytes() == pair.paddle[name].tobytes() for name in pair.torch)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_there_and_back(tmp_path: Path, family: str) -> None:
    source, target = make(tmp_path, family, recurrence=3)
    there = read_pair(source, target, family=family)
    assert_equal(there)
    back = tmp_path / ("back.pdparams" if family == "paddleseg" else "back.pth")
    convert_file(target, back, keys=family, load_check=load_into_twin)
    again = read_pair(target, back)
    assert_equal(again)
    assert (there.recurrence, again.recurrence) == (3, 3)
    assert there.plan.family.name == again.plan.family.name == family


def test_scales_are_read_as_they_were_converted(tmp_path: Path) -> None:
    source, target = make(tmp_path, "imagenet", abn_semantics="fold")
    pair = read_pair(source, target, family="imagenet")
    assert_equal(pair)
    assert pair.rounding > 0
    target.with_suffix(".manifest.json").unlink()
    assert len(read_pair(source, target, family="imagenet").different) > 20


def test_one_changed_weight_is_named(tmp_path: Path) -> None:
    """With the manifest still beside it: what the file holds counts, not what is said of it."""
    source, target = make(tmp_path, ending="safetensors", keys="canonical", load_check=lambda *_: None)
    assert_equal(read_pair(source, target))
    tensors = load_file(target)
    tensors["head.fuse.norm.weight"] = np.nextafter(tensors["head.fuse.norm.weight"], np.float32(9))
    save_file(tensors, target)
    assert read_pair(source, target).different == ("head.fuse.norm.weight",)


def test_another_network_is_refused(tmp_path: Path) -> None:
    source, _ = make(tmp_path)
    (tmp_path / "other").mkdir()
    _, target = make(tmp_path / "other", "mmseg")
    with pytest.raises(InputError, match="not a conversion of") as caught:
        read_pair(source, target)
    assert str(target) in str(caught.value)


def test_a_converted_file_is_a_source_too(tmp_path: Path) -> None:
    source, target = make(tmp_path, recurrence=1)
    assert_equal(read_source(target))
    assert read_source(target).recurrence == 1
    assert read_source(source).recurrence is None
