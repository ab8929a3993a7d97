"""A conversion from file to file: the weights, the manifest beside them and the way back."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from converter import TARGET_DTYPES, Conversion, ConverterError, InputError, convert_file, read_checkpoint, restore
from converter.files.pdparams import read_pdparams
from converter.manifest import Manifest, manifest_path, read_manifest
from tests.converter.checkpoints import (
    Array,
    assert_same_tensors,
    load_into_twin,
    make_tensors,
    save_pth,
    without,
)

KEYS = (
    "family",
    "num_classes",
    "depth",
    "recurrence",
    "source",
    "target",
    "wrappers",
    "dtype",
    "reversible",
    "tensors",
    "dropped",
    "folded",
    "versions",
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.pdparams"


def convert(folder: Path, tensors: dict[str, Array], *, zipped: bool = True, **options: Any) -> Conversion:
    source = save_pth(folder / "source.pth", tensors, zipped=zipped)
    return convert_file(source, folder / "out.pdparams", load_check=load_into_twin, **options)


def describe(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_back(target: Path) -> tuple[dict[str, Array], Manifest]:
    return read_pdparams(target), read_manifest(manifest_path(target))


def test_manifest(tmp_path: Path, target: Path) -> None:
    tensors = make_tensors(num_classes=21)
    conversion = convert(tmp_path, tensors)
    content = json.loads(manifest_path(target).read_text())
    assert tuple(content) == tuple(field.name for field in fields(Manifest))
    assert set(KEYS) <= set(content)
    assert (content["family"], content["num_classes"], content["depth"]) == ("official", 21, 18)
    assert (content["recurrence"], content["dtype"], content["reversible"]) == (None, "float32", True)
    assert content["source"] == describe(tmp_path / "source.pth")
    assert content["target"] == describe(target)
    assert {"python", "numpy"} <= content["versions"].keys()
    assert conversion.manifest == read_manifest(manifest_path(target))
    assert conversion.detection.plan.family.name == "official"
    assert conversion.detection.reason.startswith("all ")


def test_tensors_in_the_manifest(tmp_path: Path, target: Path) -> None:
    tensors = make_tensors()
    convert(tmp_path, tensors)
    weights, manifest = read_back(target)
    assert [entry["target"] for entry in manifest.tensors] == list(weights)
    for entry in manifest.tensors:
        assert tuple(entry) == ("source", "target", "operation", "shape", "dtype")
        array = weights[entry["target"]]
        assert (entry["shape"], entry["dtype"]) == (list(array.shape), str(array.dtype))
    counters = {key for key in tensors if key.endswith("num_batches_tracked")}
    assert {entry["source"] for entry in manifest.tensors} == set(tensors) - counters
    assert {entry["source"] for entry in manifest.dropped} == counters
    for entry in manifest.dropped:
        assert (entry["value"], entry["dtype"]) == (60000, "int64")
        assert entry["reason"]
    folded = {entry["source"]: entry for entry in manifest.folded}
    assert set(folded) == {entry["source"] for entry in manifest.tensors if entry["operation"] == "fold"}
    assert all(entry["negative"] == (tensors[key] < 0).sum() for key, entry in folded.items())
    assert sum(entry["negative"] for entry in folded.values()) > 20


def test_plain_batch_norm_is_not_folded(tmp_path: Path, target: Path) -> None:
    tensors = make_tensors("pure_pytorch")
    convert(tmp_path, tensors)
    weights, manifest = read_back(target)
    assert (manifest.family, manifest.folded) == ("pure_pytorch", [])
    for entry in manifest.tensors:
        assert weights[entry["target"]].tobytes() == tensors[entry["source"]].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "keep"])
@pytest.mark.parametrize("source_dtype", ["float16", "float32"])
@pytest.mark.parametrize("family", ["official", "pure_pytorch"])
def test_the_way_back_is_exact(tmp_path: Path, target: Path, family: str, source_dtype: str, dtype: str) -> None:
    tensors = make_tensors(family, dtype=source_dtype)
    tensors["bn1.weight"][:5] = [0.0, -0.0, np.finfo(source_dtype).smallest_subnormal, 1e-5, -1e-6]
    convert(tmp_path, tensors, dtype=dtype)
    weights, manifest = read_back(target)
    assert manifest.reversible
    assert {str(array.dtype) for array in weights.values()} == {source_dtype if dtype == "keep" else dtype}
    assert_same_tensors(restore(weights, manifest), tensors)


def test_the_way_back_needs_the_manifest(tmp_path: Path, target: Path) -> None:
    tensors = make_tensors()
    convert(tmp_path, tensors)
    weights, manifest = read_back(target)
    for record in manifest.folded:
        record["signs"] = base64.b64encode(~np.frombuffer(base64.b64decode(record["signs"]), np.uint8)).decode()
    assert restore(weights, manifest)["bn1.weight"].tobytes() != tensors["bn1.weight"].tobytes()


@pytest.mark.parametrize("source_dtype", ["float32", "float64"])
def test_a_narrower_dtype_is_not_reversible(tmp_path: Path, target: Path, source_dtype: str) -> None:
    tensors = make_tensors(dtype=source_dtype)
    assert not convert(tmp_path, tensors, dtype="float16").manifest.reversible
    weights, manifest = read_back(target)
    assert not manifest.reversible
    restored = restore(weights, manifest)
    assert all(str(restored[key].dtype) == str(array.dtype) for key, array in tensors.items())
    np.testing.assert_allclose(restored["conv1.weight"], tensors["conv1.weight"], rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_without_batch_counters(tmp_path: Path, target: Path, zipped: bool) -> None:
    tensors = without(make_tensors(), ending="num_batches_tracked")
    convert(tmp_path, tensors, zipped=zipped)
    weights, manifest = read_back(target)
    assert manifest.dropped == []
    assert_same_tensors(restore(weights, manifest), tensors)


def test_prefix_and_wrappers_are_recorded(tmp_path: Path, target: Path) -> None:
    tensors = make_tensors()
    convert(tmp_path, {f"module.{key}": value for key, value in tensors.items()})
    weights, manifest = read_back(target)
    assert manifest.wrappers == ["module."]
    assert_same_tensors(restore(weights, manifest), tensors)


def test_options_are_recorded(tmp_path: Path, target: Path) -> None:
    phases: list[str] = []
    conversion = convert(tmp_path, make_tensors(), family="official", recurrence=2, progress=phases.append)
    assert conversion.detection.reason == "asked for by --family"
    assert read_manifest(manifest_path(target)).recurrence == 2
    assert phases[:3] == ["reading", "writing", "reading back"]
    assert phases[3:] == ["checking names and shapes", "moving into place"]


def test_paddle_and_the_reader_load_the_target(tmp_path: Path, target: Path) -> None:
    convert(tmp_path, make_tensors())
    weights, _ = read_back(target)
    assert_same_tensors(paddle.load(str(target), return_numpy=True), weights)
    assert_same_tensors(read_checkpoint(target).tensors, weights)


def test_converting_twice_gives_the_same_bytes(tmp_path: Path, target: Path) -> None:
    convert(tmp_path, make_tensors())
    first = target.read_bytes(), manifest_path(target).read_bytes()
    convert(tmp_path, make_tensors(), force=True)
    assert (target.read_bytes(), manifest_path(target).read_bytes()) == first


@pytest.mark.parametrize("dtype", TARGET_DTYPES)
def test_a_dry_run_writes_nothing(tmp_path: Path, target: Path, dtype: str) -> None:
    phases: list[str] = []
    conversion = convert(tmp_path, make_tensors(), dtype=dtype, dry_run=True, progress=phases.append)
    assert [path.name for path in tmp_path.iterdir()] == ["source.pth"]
    assert conversion.manifest.source == describe(tmp_path / "source.pth")
    assert conversion.manifest.target is None
    assert phases == ["reading"]
    assert not target.exists()


def test_a_dry_run_refuses_an_incomplete_checkpoint(tmp_path: Path) -> None:
    tensors = make_tensors()
    del tensors["head.cca.gamma"]
    with pytest.raises(InputError, match="1 missing: head"):
        convert(tmp_path, tensors, dry_run=True)


@pytest.mark.parametrize("dry_run", [True, False])
def test_overflow_is_refused(tmp_path: Path, dry_run: bool) -> None:
    tensors = make_tensors()
    tensors["conv1.weight"].flat[0] = 1e6
    with pytest.raises(ConverterError, match="do not fit float16"):
        convert(tmp_path, tensors, dtype="float16", dry_run=dry_run)
    assert [path.name for path in tmp_path.iterdir()] == ["source.pth"]
