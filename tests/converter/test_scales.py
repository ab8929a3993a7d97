"""How scales are read is the user's word, and a file whose scales are all positive is pointed out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converter import compare_files, convert_file, read_checkpoint
from converter.inspect import inspect_file
from converter.manifest import manifest_path, read_manifest
from converter.operations import FOLD_EPSILON
from tests.converter.checkpoints import Array, assert_same_tensors, load_into_twin, make_tensors, save_pth
from twins.weights import read_pair

NOTE = "no scale is negative"


def folded() -> dict[str, Array]:
    """Official keys whose scales are BatchNorm's already."""
    return {
        key: (np.abs(array.astype(np.float64)) + FOLD_EPSILON).astype(np.float32) if _is_scale(key, array) else array
        for key, array in make_tensors().items()
    }


def _is_scale(key: str, array: Array) -> bool:
    return key.endswith(".weight") and array.ndim == 1


def test_scales_that_are_folded_already(tmp_path: Path) -> None:
    source, target, back = (tmp_path / name for name in ("folded.pth", "out.pdparams", "back.pth"))
    tensors = folded()
    convert_file(save_pth(source, tensors), target, load_check=load_into_twin, abn_semantics="plain")
    manifest = read_manifest(manifest_path(target))
    assert (manifest.scales, manifest.folded, manifest.notes) == ("plain", [], [])
    name = "backbone.stem.0.norm.weight"
    np.testing.assert_array_equal(read_checkpoint(target).tensors[name], tensors["bn1.weight"])
    assert read_pair(source, target).different == ()
    convert_file(target, back, load_check=load_into_twin)
    assert_same_tensors(read_checkpoint(back).tensors, tensors)
    manifest_path(target).unlink()
    convert_file(target, tmp_path / "x.pth", load_check=load_into_twin, family="official", abn_semantics="plain")
    assert compare_files(source, tmp_path / "x.pth")


def test_the_converted_original_is_the_same_network(tmp_path: Path) -> None:
    left, right = tmp_path / "left.pdparams", tmp_path / "right.pdparams"
    convert_file(save_pth(tmp_path / "a.pth", folded()), left, load_check=load_into_twin, abn_semantics="plain")
    convert_file(save_pth(tmp_path / "b.pth", make_tensors()), right, load_check=load_into_twin)
    assert compare_files(left, right)


def test_no_negative_scale_is_pointed_out(tmp_path: Path) -> None:
    source = save_pth(tmp_path / "folded.pth", folded())
    for dry_run in (True, False):
        conversion = convert_file(source, tmp_path / "out.pdparams", load_check=load_into_twin, dry_run=dry_run)
        (note,) = conversion.manifest.notes
        assert note.startswith(NOTE)
        assert "--abn-semantics plain" in note
    assert any(note.startswith(NOTE) for note in inspect_file(source).notes)
    said = convert_file(source, tmp_path / "out.pdparams", load_check=load_into_twin, abn_semantics="fold", force=True)
    assert said.manifest.notes == []


def test_a_usual_file_is_not(tmp_path: Path) -> None:
    for family in ("official", "pure_pytorch", "imagenet"):
        source = save_pth(tmp_path / f"{family}.pth", make_tensors(family))
        conversion = convert_file(source, tmp_path / "x.pdparams", load_check=load_into_twin, dry_run=True)
        assert conversion.manifest.notes == []
