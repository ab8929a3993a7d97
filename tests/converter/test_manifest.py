"""Manifests as files: what is written is read, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest

from converter import Checkpoint, InputError, make_plan
from converter.manifest import Manifest, make_manifest, manifest_path, read_manifest, restore, write_manifest
from tests.converter.checkpoints import make_tensors


def manifest() -> Manifest:
    """As a conversion begins with it: drops, and no transfers yet."""
    tensors = make_tensors()
    checkpoint = Checkpoint(path=Path("source.pth"), format="pth", tensors=tensors, wrappers=("model", "module."))
    return make_manifest(make_plan(tensors, "official"), checkpoint, dtype="float32", recurrence=2)


@pytest.mark.parametrize(
    ("target", "expected"),
    [("out.pdparams", "out.manifest.json"), ("a/b.c.pdparams", "a/b.c.manifest.json")],
)
def test_path(target: str, expected: str) -> None:
    assert manifest_path(Path(target)) == Path(expected)


def test_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "out.manifest.json"
    written = manifest()
    written.source = {"name": 'ünïcode "✓"\n.pth', "bytes": 3, "sha256": "0" * 64}
    write_manifest(path, written)
    assert read_manifest(path) == written
    assert json.loads(path.read_text(encoding="utf-8")) == asdict(written)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum("num_batches_tracked" in line for line in lines) == len(written.dropped)


def test_any_number_of_classes_is_read_back(tmp_path: Path) -> None:
    written = manifest()
    written.num_classes = 100_000
    write_manifest(tmp_path / "out.manifest.json", written)
    assert read_manifest(tmp_path / "out.manifest.json") == written


def test_what_is_too_large_to_be_kept_is_told_and_does_not_come_back(tmp_path: Path) -> None:
    """The classifier of a backbone for 21,000 classes, say: with it no manifest could be read again."""
    written = manifest()
    for name in ("first", "second"):
        written.drop(name, np.zeros((2_000_000,), np.float32), "left out")
    write_manifest(tmp_path / "out.manifest.json", written)
    reread = read_manifest(tmp_path / "out.manifest.json")
    assert [entry["reason"] for entry in reread.dropped[-2:]] == [
        "left out",
        "left out; too large to be kept for the way back",
    ]
    assert not reread.reversible
    restored = restore({}, reread)
    assert restored["first"].shape == (2_000_000,)
    assert "second" not in restored


def test_what_it_begins_with() -> None:
    begun = manifest()
    assert (begun.family, begun.num_classes, begun.depth, begun.recurrence) == ("official", 19, 18, 2)
    assert (begun.wrappers, begun.target, begun.reversible) == (["model", "module."], None, True)
    assert begun.tensors == begun.folded == []
    assert len(begun.dropped) == 35  # 3 in the stem, 3 in each of 8 blocks, 4 in shortcuts, 4 in the heads


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("int64", 60000), ("int64", -(2**62)), ("int32", [1, 2]), ("float32", 0.1), ("float64", 0.1), ("bool", True)],
)
def test_dropped_values_come_back(dtype: str, values: object) -> None:
    tensors = make_tensors()
    tensors["bn1.num_batches_tracked"] = np.array(values, dtype)
    checkpoint = Checkpoint(path=Path("source.pth"), format="pth", tensors=tensors)
    begun = make_manifest(make_plan(tensors, "official"), checkpoint, dtype="float32", recurrence=None)
    reread = Manifest(**json.loads(json.dumps(asdict(begun))))
    restored = restore({}, reread)["bn1.num_batches_tracked"]
    assert restored.tobytes() == tensors["bn1.num_batches_tracked"].tobytes()
    assert restored.dtype == dtype


NO_MANIFESTS = {
    "missing": None,
    "empty": "",
    "text": "family: official",
    "a list": "[]",
    "a number": "3",
    "no fields": "{}",
    "another field": json.dumps({**{field.name: None for field in fields(Manifest)}, "extra": 1}),
    "a field too few": json.dumps({field.name: None for field in fields(Manifest) if field.name != "family"}),
}


@pytest.mark.parametrize("name", NO_MANIFESTS)
def test_what_is_no_manifest(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out.manifest.json"
    content = NO_MANIFESTS[name]
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a readable manifest (")
    assert message.splitlines() == [message]
