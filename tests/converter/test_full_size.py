"""The official network at its published size: 101 layers, 19 classes, 286 MB."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import convert_file, read_checkpoint, restore
from converter.files.pdparams import read_pdparams
from converter.manifest import Manifest, manifest_path, read_manifest
from tests.converter.checkpoints import Array, load_into_twin, save_pth
from tests.golden.weights import load_manifest, make_state_dict

SEED = 0


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A conversion that was done, with its files still there."""

    source: Path
    weights: dict[str, Array]
    manifest: Manifest


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converted]:
    folder = tmp_path_factory.mktemp("full_size")
    source, target = folder / "official.pth", folder / "official.pdparams"
    save_pth(source, make_state_dict("official", SEED))
    convert_file(source, target, load_check=load_into_twin, recurrence=2)
    yield Converted(source=source, weights=read_pdparams(target), manifest=read_manifest(manifest_path(target)))
    shutil.rmtree(folder)


def test_what_it_is_recognised_as(converted: Converted) -> None:
    manifest = converted.manifest
    assert (manifest.family, manifest.depth, manifest.num_classes, manifest.recurrence) == ("official", 101, 19, 2)
    assert manifest.reversible


def test_every_key_of_the_reference_has_its_fate(converted: Converted) -> None:
    manifest = converted.manifest
    accounted = [entry["source"] for entry in [*manifest.tensors, *manifest.dropped]]
    assert sorted(accounted) == sorted(key for key, _, _ in load_manifest("official"))


def test_every_tensor(converted: Converted) -> None:
    """Copied bit for bit, or |weight| + eps rounded once."""
    source = read_checkpoint(converted.source).tensors
    for entry in converted.manifest.tensors:
        expected: Any = source[entry["source"]]
        if entry["operation"] == "fold":
            expected = (np.abs(expected.astype(np.float64)) + np.float64(np.float32(1e-5))).astype(np.float32)
        np.testing.assert_array_equal(converted.weights[entry["target"]], expected, err_msg=entry["source"])


def test_the_way_back_is_exact(converted: Converted) -> None:
    source = read_checkpoint(converted.source).tensors
    restored = restore(converted.weights, converted.manifest)
    assert set(restored) == set(source)
    for key, array in source.items():
        assert restored.pop(key).tobytes() == array.tobytes(), key
