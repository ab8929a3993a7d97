"""There and back: every family, dtype, wrapper and format, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from converter import Conversion, convert_file, convert_tensors, read_checkpoint
from converter.files.write import FORMATS, write_tensors
from converter.target import OWN_FORMATS
from families import FAMILIES, get_family
from models_torch import build_ccnet
from tests.converter.checkpoints import Array, assert_same_tensors, make_tensors, without

DTYPES = ("float16", "float32", "float64")
WRAPPERS: dict[str, tuple[str, ...]] = {
    "bare": (),
    "model": ("model",),
    "state_dict": ("state_dict",),
    "module.": ("module.",),
    "all": ("model", "state_dict", "module."),
}


def convert(source: Path, target: Path, **options: Any) -> Conversion:
    return convert_file(source, target, load_check=lambda plan, tensors: None, **options)


def save(path: Path, tensors: Mapping[str, Array], wrappers: tuple[str, ...] = ()) -> Path:
    if not wrappers:
        write_tensors(path, FORMATS[path.suffix], tensors.items())
        return path
    prefix = "module." if "module." in wrappers else ""
    state: Any = {prefix + key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}
    for wrapper in reversed(wrappers):
        state = {wrapper: state} if wrapper != "module." else state
    torch.save(state, path)
    return path


def own_endings(family: str) -> list[str]:
    return [ending for ending, name in FORMATS.items() if name in OWN_FORMATS[get_family(family).framework]]


def with_odd_values(tensors: dict[str, Array], seed: int) -> dict[str, Array]:
    """Signed zeros, subnormals and values far below eps among the scales, and a classifier of images."""
    rng, odd = np.random.default_rng(seed), np.array([-0.0, 0.0, 1e-7, -1e-7, 5e-8, 1e-5, -1e-5, 60000])
    for array in tensors.values():
        if array.dtype.kind == "f" and array.ndim == 1:
            array[rng.integers(0, array.size, 3)] = rng.choice(odd, 3).astype(array.dtype)
    return tensors


def complete(family: str, dtype: str, seed: int) -> dict[str, Array]:
    tensors = with_odd_values(make_tensors(family, num_classes=3, dtype=dtype), seed)
    for layer in get_family(family).unused:
        tensors[f"{layer}.weight"] = np.random.default_rng(seed).standard_normal((5, 7)).astype(dtype)
        tensors[f"{layer}.bias"] = np.ones(5, dtype)
    return tensors


@given(data=st.data(), family=st.sampled_from(list(FAMILIES)), dtype=st.sampled_from(DTYPES))
@settings(max_examples=30)
def test_to_the_twins_keys_and_back(tmp_path: Path, data: st.DataObject, family: str, dtype: str) -> None:
    tensors = complete(family, dtype, data.draw(st.integers(0, 99)))
    if data.draw(st.booleans()):
        tensors = without(tensors, ending="num_batches_tracked")
    ending = data.draw(st.sampled_from(own_endings(family)))
    wrappers = WRAPPERS[data.draw(st.sampled_from(list(WRAPPERS)))] if ending == ".pth" else ()
    source = save(tmp_path / f"source{ending}", tensors, wrappers)
    there = tmp_path / f"there{data.draw(st.sampled_from(list(FORMATS)))}"
    back = tmp_path / f"back{data.draw(st.sampled_from(own_endings(family)))}"
    wider = DTYPES[DTYPES.index(dtype) :]
    semantics = data.draw(st.sampled_from([None, "fold"])) if get_family(family).fold_optional else None
    convert(
        source,
        there,
        keys="canonical",
        dtype=data.draw(st.sampled_from([*wider, "keep"])),
        abn_semantics=semantics,
        force=True,
    )
    conversion = convert(there, back, keys=family, force=True)
    assert conversion.manifest.reversible
    assert_same_tensors(read_checkpoint(back).tensors, tensors)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_twins_keys_survive_the_way_back(tmp_path: Path, family: str) -> None:
    """canonical -> own -> canonical, and from one file of the twins to another."""
    source = save(tmp_path / f"source{own_endings(family)[0]}", complete(family, "float32", 1))
    first, own, again, other = (
        tmp_path / name for name in ("first.pdparams", f"own{own_endings(family)[0]}", "again.pdparams", "other.pth")
    )
    convert(source, first)
    convert(first, own, keys=family)
    convert(own, again)
    assert first.read_bytes() == again.read_bytes()
    convert(first, other, keys="canonical")
    expected = convert_tensors(read_checkpoint(source).tensors)
    assert_same_tensors(read_checkpoint(other).tensors, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_default_keys_of_each_ending(tmp_path: Path, family: str) -> None:
    first, *_ = own_endings(family)
    source = save(tmp_path / f"source{first}", make_tensors(family))
    for ending in FORMATS:
        conversion = convert(source, tmp_path / f"target{ending}")
        own = get_family(family).framework == "torch" and ending != ".pdparams"
        assert conversion.target.keys == (family if own else "canonical")
        assert (tmp_path / "target.manifest.json").exists() == (not own)
        (tmp_path / "target.manifest.json").unlink(missing_ok=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_torch_itself_loads_the_twins_keys_strictly(tmp_path: Path, family: str, ending: str) -> None:
    from safetensors.torch import load_file

    source = save(tmp_path / f"source{own_endings(family)[-1]}", make_tensors(family))
    target = tmp_path / f"target{ending}"
    convert(source, target, keys="canonical")
    state = torch.load(target, weights_only=True) if ending == ".pth" else load_file(target)
    build_ccnet(family, depth=18).load_state_dict(state, strict=True)


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_another_format_with_the_same_keys(tmp_path: Path, ending: str) -> None:
    tensors = complete("official", "float32", 2)
    source = save(tmp_path / f"source{'.safetensors' if ending == '.pth' else '.pth'}", tensors)
    conversion = convert(source, tmp_path / f"target{ending}")
    assert conversion.manifest.reversible
    assert [path.name for path in tmp_path.glob("target*")] == [f"target{ending}"]
    assert_same_tensors(read_checkpoint(tmp_path / f"target{ending}").tensors, tensors)


def test_own_keys_in_another_dtype(tmp_path: Path) -> None:
    tensors = make_tensors("mmseg")
    source = save(tmp_path / "source.pth", tensors)
    conversion = convert(source, tmp_path / "half.safetensors", dtype="float16")
    assert not conversion.manifest.reversible
    expected = {key: value.astype("float16") if value.dtype.kind == "f" else value for key, value in tensors.items()}
    assert_same_tensors(read_checkpoint(tmp_path / "half.safetensors").tensors, expected)


def test_what_a_narrow_dtype_lost_is_said(tmp_path: Path) -> None:
    tensors = make_tensors()
    source = save(tmp_path / "source.pth", tensors)
    convert(source, tmp_path / "half.pdparams", dtype="float16")
    conversion = convert(tmp_path / "half.pdparams", tmp_path / "back.pth")
    assert not conversion.manifest.reversible
    back = read_checkpoint(tmp_path / "back.pth").tensors
    assert {key: (value.dtype, value.shape) for key, value in back.items()} == {
        key: (value.dtype, value.shape) for key, value in tensors.items()
    }
    for key, value in tensors.items():
        np.testing.assert_allclose(back[key], value, rtol=1e-3, atol=1e-3)
        assert (np.signbit(back[key]) == np.signbit(value)).all() or not key.endswith("1.weight")
