"""Dumps and their comparison."""

from __future__ import annotations

import contextlib
import json
import shutil

import numpy as np
import pytest

from converter.errors import InputError
from parity.engine.harness import compare_models
from parity.errors import ParityInputError
from parity.reports.dump import Dump, DumpWriter, compare_dumps
from parity.reports.folder import write_report
from tests.parity.small_twins import INPUTS, make_twins


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    with DumpWriter.open(folder) as writer:
        report = compare_models(*make_twins(), INPUTS, mode="free", sink=writer)
    return folder, report


def test_offline_comparison_is_the_online_one(dump):
    folder, online = dump
    offline = compare_dumps(folder / "paddle", folder / "torch")
    assert offline, offline.summary
    figures = {(layer.path, layer.call, layer.output, layer.input, layer.dtype): layer for layer in online.layers}
    assert len(offline.layers) == len(figures)
    for layer in offline.layers:
        same = figures[layer.path, layer.call, layer.output, layer.input, layer.dtype]
        assert layer.comparison.max_abs == same.comparison.max_abs
        assert layer.comparison.noise_ratio == same.comparison.noise_ratio


def test_numpy_reads_the_archive(dump):
    folder, _ = dump
    index = json.loads((folder / "torch" / "index.json").read_text())
    archive = np.load(folder / "torch" / "tensors.npz")
    assert len(archive.files) == len(index)
    assert list(archive[index[0]["entry"]].shape) == index[0]["shape"]


def test_a_dump_that_fails_leaves_the_one_before(dump, tmp_path):
    shutil.copytree(dump[0], tmp_path / "dump")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(ZeroDivisionError), DumpWriter.open(tmp_path / "dump") as writer:
        compare_models(*make_twins(), INPUTS, mode="free", sink=lambda *tensors: writer(*tensors) or 1 / 0)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def write(folder, tensors):
    """A dump by hand: {(path, dtype): array}."""
    folder.mkdir()
    entries = {f"{number:06d}": array for number, array in enumerate(tensors.values())}
    np.savez(folder / "tensors.npz", **entries)
    index = [
        {"path": path, "call": 0, "output": 0, "input": "x", "mode": "free", "dtype": dtype, "entry": entry}
        for (path, dtype), entry in zip(tensors, entries, strict=True)
    ]
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def test_a_changed_tensor_is_found(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    changed = array.copy()
    changed[2, 1] += 1e-6
    report = compare_dumps(
        write(tmp_path / "a", {("conv", "float64"): changed}), write(tmp_path / "b", {("conv", "float64"): array})
    )
    assert not report
    assert report.failures[0].comparison.worst_index == (2, 1)


def test_a_probe_of_one_side_only_fails(tmp_path):
    array = np.arange(12.0)
    both = {("conv", "float64"): array, ("norm", "float64"): array}
    one = {("conv", "float64"): array}
    assert "norm" in compare_dumps(write(tmp_path / "a", both), write(tmp_path / "b", one)).summary
    assert "norm" in compare_dumps(tmp_path / "b", tmp_path / "a").summary


def test_float32_alone_has_no_truth(tmp_path):
    array = np.linspace(0, 1, 12, dtype=np.float32)
    report = compare_dumps(
        write(tmp_path / "a", {("conv", "float32"): array}), write(tmp_path / "b", {("conv", "float32"): array})
    )
    assert report
    assert report.layers[0].comparison.noise_ratio is None


@pytest.mark.parametrize("spoil", ["index.json", "tensors.npz"])
def test_what_is_no_dump_is_refused(tmp_path, spoil):
    folder = write(tmp_path / "a", {("conv", "float64"): np.arange(3.0)})
    (folder / spoil).write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a readable"):
        Dump(folder)
    (folder / spoil).unlink()
    with pytest.raises((InputError, ParityInputError), match=r"not a|nor a dump"):
        Dump(folder)


def test_a_damaged_dump_is_one_line(tmp_path):
    """Bits flipped anywhere, an index that lies, and an archive that would fill the memory."""
    healthy = write(tmp_path / "a", {("conv", "float64"): np.arange(64.0), ("norm", "float32"): np.ones(8, "f4")})
    content = {name: (healthy / name).read_bytes() for name in ("index.json", "tensors.npz")}
    rng = np.random.default_rng(0)
    for number in range(120):
        name = ("index.json", "tensors.npz")[number % 2]
        spoiled = bytearray(content[name])
        spoiled[rng.integers(len(spoiled))] ^= 1 << rng.integers(8)
        (healthy / name).write_bytes(spoiled)
        with contextlib.suppress(InputError, ParityInputError):
            compare_dumps(healthy, healthy)
        (healthy / name).write_bytes(content[name])
    index = json.loads(content["index.json"])
    for wrong in (index + index, [{**index[0], "entry": "none"}], [{**index[0], "call": 10**30}], {"a": 1}):
        (healthy / "index.json").write_text(json.dumps(wrong))
        with pytest.raises((InputError, ParityInputError)):
            Dump(healthy)
    (healthy / "index.json").write_bytes(content["index.json"])
    np.savez_compressed(healthy / "tensors.npz", **{"000000": np.zeros(1 << 24), "000001": np.ones(8)})
    with pytest.raises(InputError, match="would take 134 MB"):
        Dump(healthy)


def test_a_report_may_have_a_name_that_is_not_utf8(dump, tmp_path):
    write_report(tmp_path, dump[1], command="ccnet-parity --report r\udcff")
    assert "--report r\\udcff" in (tmp_path / "ALIGNMENT.md").read_text(encoding="utf-8")
