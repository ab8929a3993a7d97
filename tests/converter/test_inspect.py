"""What an inspection tells of whole, odd, damaged and foreign files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from converter import InputError, convert_file
from converter.files.write import FORMATS, write_tensors
from converter.inspect import Inspection, find_suspicious, inspect_file
from converter.reports import print_inspection
from families import FAMILIES, get_family
from tests.converter.checkpoints import Array, make_tensors, save_pth, without

RELEASE = "ccnet_r50-d8_769x769_80k_cityscapes_20200617_010421-{hash}.pth"


def save(path: Path, tensors: dict[str, Array]) -> Path:
    write_tensors(path, FORMATS[path.suffix], tensors.items())
    return path


def released(folder: Path, *, honest: bool = True) -> Path:
    """A file named as open-mmlab's releases are, by its own hash."""
    path = save_pth(folder / "file.pth", make_tensors("mmseg"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8] if honest else "76d11884"
    return path.rename(folder / RELEASE.format(hash=digest))


def printed(inspection: Inspection) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        print_inspection(inspection, console)
    return capture.get()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ending", FORMATS)
def test_every_family_in_every_format(tmp_path: Path, family: str, ending: str) -> None:
    tensors = make_tensors(family, num_classes=21)
    path = save(tmp_path / f"weights{ending}", tensors)
    found = inspect_file(path)
    architecture = get_family(family).architecture
    assert found
    assert (found.family, found.keys, found.format, found.depth) == (family, family, ending[1:], 18)
    assert found.num_classes == (21 if architecture.heads else None)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.tensors, found.parameters + found.buffers) == (len(tensors), sum(map(np.size, tensors.values())))
    assert found.dtypes["float32"]["tensors"] == sum(array.dtype == np.float32 for array in tensors.values())
    assert (found.problems, found.suspicious) == ({}, {})
    assert found.architecture is not None
    assert found.architecture["stem_widths"] == architecture.stem_widths
    assert json.loads(json.dumps(found.to_json()))["family"] == family


def test_negative_scales_are_counted(tmp_path: Path) -> None:
    tensors = make_tensors()
    found = inspect_file(save(tmp_path / "official.pth", tensors))
    scales = [key for key in tensors if key.endswith(".weight") and tensors[key].ndim == 1]
    assert found.negative_scales == sum(int((tensors[key] < 0).sum()) for key in scales) > 100


def test_a_converted_file(tmp_path: Path) -> None:
    source = save(tmp_path / "official.pth", make_tensors(num_classes=5))
    target = tmp_path / "out.pdparams"
    convert_file(source, target, load_check=lambda plan, tensors: None, recurrence=2)
    found = inspect_file(target)
    assert (found.family, found.keys, found.reason) == ("official", "canonical", "its manifest says so")
    assert (found.recurrence, found.num_classes, found.negative_scales) == (2, 5, 0)
    (tmp_path / "out.manifest.json").unlink()
    alone = inspect_file(target)
    assert (alone.family, alone.recurrence) == (None, None)
    assert "two families fit equally well" in alone.reason
    assert inspect_file(target, family="official").family == "official"


def test_the_hash_in_a_releases_name(tmp_path: Path) -> None:
    found = inspect_file(released(tmp_path))
    assert found
    assert found.name_hash_matches is True
    assert found.align_corners is True
    assert "is the file's" in printed(found)


def test_a_damaged_release(tmp_path: Path) -> None:
    found = inspect_file(released(tmp_path, honest=False))
    assert not found
    assert (found.name_hash, found.name_hash_matches) == ("76d11884", False)
    assert "is NOT the file's" in printed(found)


@pytest.mark.parametrize("name", ["weights.pth", "model-1234567.pth", "model-76d11884.pdparams", "76d11884.pth"])
def test_other_names_have_no_hash(tmp_path: Path, name: str) -> None:
    found = inspect_file(save(tmp_path / name, make_tensors("paddleseg")))
    assert (found.name_hash, found.name_hash_matches) == (None, None)


def test_published_figures_by_name_and_depth() -> None:
    mmseg = get_family("mmseg")
    (figure,) = mmseg.published_for(RELEASE.format(hash="73eed8ca"), depth=50)
    assert (figure.miou, figure.multi_scale, figure.dataset) == (79.29, 81.08, "Cityscapes val")
    assert not mmseg.published_for(RELEASE.format(hash="73eed8ca"), depth=101)
    assert not mmseg.published_for("best.pth", depth=50)
    assert [figure.miou for figure in get_family("official").published_for("any.pth", depth=101)] == [
        77.91,
        79.74,
        80.0,
    ]
    assert [figure.miou for figure in get_family("paddleseg").published_for("model.pdparams", depth=101)] == [80.95]


ODDITIES: dict[str, tuple[str, Any, list[str]]] = {
    "NaN": ("bn1.bias", [np.nan, 1, 2], ["NaN"]),
    "infinite": ("bn1.bias", [-np.inf, 1, 2], ["infinite"]),
    "both": ("bn1.bias", [np.nan, np.inf, 2], ["NaN", "infinite"]),
    "all zero": ("head.cca.gamma", [0], ["all zero"]),
    "negative zeros": ("bn1.bias", [-0.0, 0.0], ["all zero"]),
    "constant": ("bn1.weight", [3, 3, 3], ["constant"]),
    "one element": ("head.cca.gamma", [3], []),
    "negative variance": ("bn1.running_var", [1, -1e-9], ["variance not positive"]),
    "zero variance, in Paddle": ("norm._variance", [1, 0], ["variance not positive"]),
    "all variances zero": ("bn1.running_var", [0, 0], ["all zero", "variance not positive"]),
    "negative mean": ("bn1.running_mean", [1, -1], []),
    "a counter": ("bn1.num_batches_tracked", np.asarray(0), []),
    "empty": ("bn1.bias", [], []),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_suspicious_tensors(name: str) -> None:
    key, values, expected = ODDITIES[name]
    array = values if isinstance(values, np.ndarray) else np.array(values, np.float32)
    assert find_suspicious({"other": np.arange(3.0), key: array}) == {oddity: [key] for oddity in expected}


def test_problems_that_a_conversion_would_refuse(tmp_path: Path) -> None:
    tensors = without(make_tensors(), ending="gamma")
    tensors["bn1.bias"] = np.full_like(tensors["bn1.bias"], np.nan)
    found = inspect_file(save(tmp_path / "broken.pth", tensors))
    assert found.problems == {"missing": ["head.cca.gamma"], "not finite": ["bn1.bias"]}
    assert found.suspicious == {"NaN": ["bn1.bias"]}
    text = printed(found)
    for words in ("nearest family (1 missing)", "1: head.cca.gamma", "1: bn1.bias"):
        assert words in text


def test_a_file_of_no_family(tmp_path: Path) -> None:
    found = inspect_file(save(tmp_path / "other.safetensors", {"encoder.weight": np.arange(6.0).reshape(2, 3)}))
    assert found
    assert (found.family, found.architecture, found.tensors, found.parameters) == (None, None, 1, 6)
    assert found.reason.startswith("cannot tell its family, it is like no known family")
    assert "unknown: cannot tell its family" in printed(found)


def test_wrappers_and_skipped_metadata(tmp_path: Path) -> None:
    state = {f"module.{key}": torch.from_numpy(np.array(value)) for key, value in make_tensors("mmseg").items()}
    path = tmp_path / "iter_80000.pth"
    torch.save({"meta": {"shape": torch.Generator}, "state_dict": state}, path)
    found = inspect_file(path)
    assert found.wrappers == ["state_dict", "module."]
    assert found.skipped == ["meta (torch._C.Generator)"]
    assert "meta (torch._C.Generator)" in printed(found)


def test_the_table_has_every_part(tmp_path: Path) -> None:
    text = printed(inspect_file(save(tmp_path / "official.pth", make_tensors())))
    for words in (
        "SHA-256",
        "official's own",
        "ResNet-18, 19 classes",
        "stem",
        "64-64-128",
        "float32",
        "negative scales",
    ):
        assert words in text
    assert "in no checkpoint" in text


def test_unreadable_files(tmp_path: Path) -> None:
    path = tmp_path / "text.pth"
    path.write_text("no checkpoint")
    with pytest.raises(InputError, match="not a checkpoint"):
        inspect_file(path)
