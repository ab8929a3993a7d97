"""Converted files traced back: by their manifest, or without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import Conversion, InputError, convert_file, convert_tensors, read_checkpoint, to_paddle
from converter.files.write import FORMATS, write_tensors
from converter.manifest import manifest_path
from models_paddle import build_ccnet, load_weights
from tests.converter.checkpoints import (
    NETWORKS,
    Array,
    assert_same_bits,
    assert_same_tensors,
    make_tensors,
    save_pth,
    without,
)


def convert(source: Path, target: Path, **options: Any) -> Conversion:
    return convert_file(source, target, load_check=lambda plan, tensors: None, **options)


def refused(source: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        convert(source, source.with_name("back.safetensors"), **options)
    message = str(caught.value)
    assert message.splitlines() == [message]
    assert not source.with_name("back.safetensors").exists()
    return message


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    """An official checkpoint converted for the Paddle twin."""
    target = tmp_path / "out.pdparams"
    convert(save_pth(tmp_path / "source.pth", make_tensors()), target, recurrence=2)
    return target


def save_twin(path: Path, tensors: dict[str, Array]) -> Path:
    """A file of a twin's weights without a manifest, as training leaves it."""
    named = {to_paddle(name) if path.suffix == ".pdparams" else name: array for name, array in tensors.items()}
    write_tensors(path, FORMATS[path.suffix], named.items())
    return path


def change(path: Path, **entries: Any) -> None:
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, **entries}))


def test_what_the_manifest_knows(converted: Path) -> None:
    conversion = convert(converted, converted.with_name("other.safetensors"), keys="canonical")
    assert conversion.detection.reason == "its manifest says so"
    assert conversion.manifest.recurrence == 2
    assert conversion.manifest.align_corners is True
    assert convert(converted, converted.with_name("third.pdparams"), recurrence=1).manifest.recurrence == 1


def test_a_changed_file_is_not_its_manifests(converted: Path) -> None:
    content = bytearray(converted.read_bytes())
    content[len(content) // 2] ^= 1
    converted.write_bytes(content)
    assert "out.manifest.json: describes another file than out.pdparams" in refused(converted)


def test_another_family_than_the_manifests(converted: Path) -> None:
    assert "its manifest says official, not mmseg" in refused(converted, family="mmseg")


@pytest.mark.parametrize(
    "damage",
    [{"tensors": [{"source": "a"}]}, {"tensors": 5}, {"dropped": [{}]}, {"depth": 10**30}, {"recurrence": 2.0}],
    ids=str,
)
def test_a_manifest_of_other_types(converted: Path, damage: dict[str, Any]) -> None:
    change(manifest_path(converted), **damage)
    assert f"not a readable manifest ($.{next(iter(damage))}" in refused(converted)


@pytest.mark.parametrize("damage", [{"family": "nonsense"}, {"folded": []}], ids=str)
def test_a_manifest_that_contradicts_itself(converted: Path, damage: dict[str, Any]) -> None:
    change(manifest_path(converted), **damage)
    assert "out.manifest.json: is damaged" in refused(converted)


def first(records: list[dict[str, Any]], **changes: Any) -> None:
    records[0] |= changes


DAMAGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "fewer signs": lambda content: first(content["folded"], signs=""),
    "no base64": lambda content: first(content["folded"], signs="!!!!"),
    "twice": lambda content: content["tensors"].append(content["tensors"][1] | {"source": "conv1.weight"}),
    "another dtype": lambda content: first(content["tensors"], source_dtype="datetime64[s]"),
    "a record's": lambda content: first(content["tensors"], dtype="f4,f4"),
    "too large": lambda content: first(content["dropped"], value=10**30),
    "text": lambda content: first(content["dropped"], value="1"),
    "elsewhere": lambda content: first(content["folded"], inexact={"indices": "////fw==", "values": "AAAAAA=="}),
    "no target": lambda content: first(content["tensors"], target="nowhere"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_manifest_changed_in_one_place(converted: Path, damage: str) -> None:
    path = manifest_path(converted)
    content = json.loads(path.read_text())
    DAMAGES[damage](content)
    path.write_text(json.dumps(content))
    line = refused(converted)
    assert "out.manifest.json: " in line
    assert "\n" not in line


def test_no_manifest_is_replaced_by_that_of_another_format(converted: Path) -> None:
    before = manifest_path(converted).read_bytes()
    with pytest.raises(InputError, match="its manifest would replace the source's; choose another name"):
        convert(converted, converted.with_suffix(".safetensors"), keys="canonical", force=True)
    convert(converted, converted.with_suffix(".safetensors"))
    assert manifest_path(converted).read_bytes() == before


@pytest.mark.parametrize("ending", FORMATS)
def test_official_weights_without_a_manifest(tmp_path: Path, ending: str) -> None:
    """The same function: every scale comes back positive, to the last bit but one."""
    tensors = make_tensors()
    source = save_twin(tmp_path / f"trained{ending}", convert_tensors(tensors))
    message = refused(source)
    assert "two families fit equally well" in message
    assert "official: fits; pure_pytorch: fits" in message
    conversion = convert(source, tmp_path / "back.pth", family="official")
    assert not conversion.manifest.reversible
    back = read_checkpoint(tmp_path / "back.pth").tensors
    assert set(back) == set(without(tensors, ending="num_batches_tracked"))
    folded = {step.source for step in conversion.detection.plan.steps if step.operation == "fold"}
    assert len(folded) == 35
    for key, value in back.items():
        if key in folded:
            np.testing.assert_allclose(value, np.abs(tensors[key]), rtol=1e-6, atol=1e-12)
        else:
            assert_same_bits(value, tensors[key], key)


@pytest.mark.parametrize("family", [name for name in NETWORKS if name not in ("official", "paddleseg")])
def test_plain_batch_norm_needs_no_manifest(tmp_path: Path, family: str) -> None:
    tensors = without(make_tensors(family), ending="num_batches_tracked")
    source = save_twin(tmp_path / "trained.pdparams", convert_tensors(tensors))
    asked = {"family": family} if family == "pure_pytorch" else {}
    conversion = convert(source, tmp_path / "back.pth", **asked)
    assert conversion.manifest.reversible
    assert conversion.detection.reason.endswith("; no manifest is beside it")
    assert_same_tensors(read_checkpoint(tmp_path / "back.pth").tensors, tensors)


def test_scales_that_no_inplace_abn_has(tmp_path: Path) -> None:
    tensors = convert_tensors(make_tensors())
    tensors["head.fuse.norm.weight"] = tensors["head.fuse.norm.weight"].copy()
    tensors["head.fuse.norm.weight"][:3] = [-0.5, 0.0, 5e-6]
    source = save_twin(tmp_path / "trained.pdparams", tensors)
    message = refused(source, family="official")
    assert "3 scales are below 1e-5 in head.fuse.norm.weight" in message
    convert(source, tmp_path / "back.pth", family="pure_pytorch")


def test_an_incomplete_file_of_the_twins(tmp_path: Path) -> None:
    tensors = without(convert_tensors(make_tensors("mmseg")), ending="gamma")
    source = save_twin(tmp_path / "trained.pdparams", tensors)
    assert "not a complete mmseg checkpoint: 1 missing: head.attention.gamma" in refused(source)


def test_imagenet_weights_are_plain_or_folded_as_asked(tmp_path: Path) -> None:
    tensors = make_tensors("imagenet")
    source = save_pth(tmp_path / "resnet101-imagenet.pth", tensors)
    convert(source, tmp_path / "plain.pdparams")
    convert(source, tmp_path / "fold.pdparams", abn_semantics="fold")
    plain, fold = (read_checkpoint(tmp_path / f"{name}.pdparams").tensors for name in ("plain", "fold"))
    for name, array in plain.items():
        expected = (
            np.abs(array.astype(np.float64)) + np.float64(np.float32(1e-5)) if name.endswith("norm.weight") else array
        )
        assert fold[name].tobytes() == expected.astype(np.float32).tobytes(), name
    for name in ("plain", "fold"):
        convert(tmp_path / f"{name}.pdparams", tmp_path / f"{name}.pth")
        assert_same_tensors(read_checkpoint(tmp_path / f"{name}.pth").tensors, tensors)


def test_the_start_of_the_official_training(tmp_path: Path) -> None:
    """Folded, it is what the official network makes of the same weights, and fills the official backbone."""
    backbone = {key: -array if key == "bn1.weight" else array for key, array in make_tensors("imagenet").items()}
    convert(save_pth(tmp_path / "start.pth", backbone), tmp_path / "start.pdparams", abn_semantics="fold")
    start = read_checkpoint(tmp_path / "start.pdparams").tensors
    whole = convert_tensors({**make_tensors("official"), **backbone}, "official")
    assert_same_tensors(start, {to_paddle(name): whole[name] for name in whole if name.startswith("backbone.")})
    model = build_ccnet("official", depth=18)
    load_weights(model.backbone, {name.removeprefix("backbone."): array for name, array in start.items()})
    assert float(model.backbone.stem[0].norm.weight.min()) > 0


@pytest.mark.parametrize(("family", "semantics"), [("pure_pytorch", "fold"), ("mmseg", "fold")])
def test_semantics_that_would_be_wrong(tmp_path: Path, family: str, semantics: str) -> None:
    source = save_pth(tmp_path / "source.pth", make_tensors(family))
    message = refused(source, abn_semantics=semantics)
    assert message.startswith(f"--abn-semantics {semantics}: {family} is made with ")


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("ccnet_r50-d8_769x769_40k_cityscapes.pth", None, True),
        ("ccnet_r50-d8_512x1024_40k_cityscapes.pth", None, False),
        ("ccnet_r50-d8_512x512_20k_voc12aug.pth", None, False),
        ("best.pth", None, False),
        ("best.pth", True, True),
        ("ccnet_r50-d8_769x769_40k_cityscapes.pth", False, False),
    ],
)
def test_align_corners_of_mmseg_files(tmp_path: Path, name: str, given: bool | None, expected: bool) -> None:
    source = save_pth(tmp_path / name, make_tensors("mmseg"))
    manifest = convert(source, tmp_path / "out.pdparams", align_corners=given).manifest
    assert manifest.align_corners is expected
    assert json.loads((tmp_path / "out.manifest.json").read_text())["align_corners"] is expected
    other = convert(tmp_path / "out.pdparams", tmp_path / "other.pdparams")
    assert other.manifest.align_corners is expected
