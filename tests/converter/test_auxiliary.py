"""Checkpoints without an auxiliary head, or with one of other classes: the network is converted without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import models_paddle
import models_torch
from converter import InputError, Plan, Reading, compare_files, convert_file, read_checkpoint, to_paddle
from converter.inspect import inspect_file
from converter.manifest import manifest_path, read_manifest
from families import get_family
from tests.converter.checkpoints import NETWORKS, Array, assert_same_tensors, make_tensors, save_pth
from twins.weights import read_pair

PREFIX = {"official": "dsn.", "pure_pytorch": "dsn.", "mmseg": "auxiliary_head.", "paddleseg": "aux_head."}
WITHOUT = Reading(without_auxiliary=True)


def load_strictly(plan: Plan, written: dict[str, Array]) -> None:
    package = models_paddle if any(name.endswith("_mean") for name in written) else models_torch
    size = {"num_classes": plan.num_classes, "recurrence": 0, "depth": plan.depth, "auxiliary": plan.auxiliary}
    package.load_weights(package.build_uninitialised(plan.family.name, **size), written)


def without_head(family: str) -> dict[str, Array]:
    return {key: array for key, array in make_tensors(family).items() if not key.startswith(PREFIX[family])}


def of_other_classes(family: str = "official") -> dict[str, Array]:
    other = make_tensors(family, num_classes=21)
    last = f"{PREFIX[family]}3."
    return {key: other[key] if key.startswith(last) else array for key, array in make_tensors(family).items()}


@pytest.mark.parametrize("family", NETWORKS)
def test_a_checkpoint_without_the_head(tmp_path: Path, family: str) -> None:
    tensors = without_head(family)
    source, target, back = (tmp_path / name for name in ("source.pth", "out.pdparams", "back.safetensors"))
    convert_file(save_pth(source, tensors), target, load_check=load_strictly)
    manifest = read_manifest(manifest_path(target))
    assert (manifest.family, manifest.auxiliary, manifest.reversible) == (family, False, True)
    assert any("without the auxiliary head" in note for note in manifest.notes)
    assert not any(name.startswith("auxiliary_head") for name in read_checkpoint(target).tensors)
    if get_family(family).framework == "torch":
        convert_file(target, back, load_check=load_strictly)
        assert_same_tensors(read_checkpoint(back).tensors, tensors)
    assert compare_files(source, target, family=family)
    pair = read_pair(source, target)
    assert (pair.plan.auxiliary, pair.size["auxiliary"], pair.different) == (False, False, ())


def test_other_classes_in_the_head_are_refused_with_a_way_on(tmp_path: Path) -> None:
    source = save_pth(tmp_path / "source.pth", of_other_classes())
    with pytest.raises(InputError, match=r"dsn.3.weight is \(21, .*--without-auxiliary leaves it out"):
        convert_file(source, tmp_path / "out.pdparams", load_check=load_strictly)


@pytest.mark.parametrize("ending", [".pdparams", ".safetensors"])
def test_the_users_word_leaves_it_out(tmp_path: Path, ending: str) -> None:
    source, target = save_pth(tmp_path / "source.pth", of_other_classes()), tmp_path / f"out{ending}"
    conversion = convert_file(source, target, load_check=load_strictly, reading=WITHOUT)
    assert (conversion.manifest.auxiliary, conversion.manifest.reversible) == (False, False)
    assert not any(name.startswith(("auxiliary", "dsn")) for name in read_checkpoint(target).tensors)
    assert compare_files(source, target, reading=WITHOUT, family="official")
    if ending == ".pdparams":
        pair = read_pair(source, target)  # its manifest tells
        assert (pair.plan.auxiliary, pair.different) == (False, ())
        convert_file(target, tmp_path / "back.pth", load_check=load_strictly)
        assert_same_tensors(read_checkpoint(tmp_path / "back.pth").tensors, without_head("official"))


def test_a_converted_file_can_lose_it_later(tmp_path: Path) -> None:
    source, whole, target = (tmp_path / name for name in ("a.pth", "whole.pdparams", "b.safetensors"))
    convert_file(save_pth(source, make_tensors()), whole, load_check=load_strictly)
    convert_file(whole, target, load_check=load_strictly, reading=WITHOUT)
    assert_same_tensors(read_checkpoint(target).tensors, without_head("official"))
    manifest_path(whole).unlink()
    convert_file(whole, tmp_path / "c.pth", load_check=load_strictly, reading=WITHOUT, family="official")
    assert set(read_checkpoint(tmp_path / "c.pth").tensors) == {
        key for key in without_head("official") if "num_batches" not in key
    }


def test_inspection(tmp_path: Path) -> None:
    found = inspect_file(save_pth(tmp_path / "source.pth", without_head("official")))
    assert (found.family, found.auxiliary, found.problems) == ("official", False, {})
    assert any("the file has none" in note for note in found.notes)
    assert inspect_file(save_pth(tmp_path / "whole.pth", make_tensors())).auxiliary is True


@pytest.mark.parametrize("package", [models_torch, models_paddle])
def test_the_twins_without_it(package: object) -> None:
    build = package.build_ccnet  # type: ignore[attr-defined]
    whole, without = (build("mmseg", num_classes=3, depth=18, auxiliary=auxiliary) for auxiliary in (True, False))
    names = {to_paddle(name) for name in whole.state_dict()} - {to_paddle(name) for name in without.state_dict()}
    assert names
    assert all(name.startswith("auxiliary_head.") for name in names)


def test_its_outputs_are_the_logits_alone() -> None:
    import paddle
    import torch

    images = np.zeros((1, 3, 33, 33), np.float32)
    for package, tensor in ((models_torch, torch.from_numpy), (models_paddle, paddle.to_tensor)):
        network = package.build_ccnet("official", num_classes=3, depth=18, auxiliary=False)
        network.eval()
        (logits,) = network(tensor(images))
        assert tuple(logits.shape)[:2] == (1, 3)
