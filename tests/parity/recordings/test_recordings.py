"""Recordings say what the running networks would: the same verdict and guilty layers; no damaged one is used."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converter.errors import InputError
from models_paddle import paddle
from parity.engine import record as recorder
from parity.engine.conventions import _resize_exactly
from parity.engine.harness import compare_models
from parity.engine.search import activated
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.recorded import INDEX, SCHEMA, Recording
from parity.pairing.match import match_port
from parity.recordings.command import Options, run
from parity.recordings.compare import compare_recordings
from tests.cli.run import assert_one_line_error, call
from tests.parity import foreign_references, official_port, official_reference
from tests.parity.testing.networks import PaddleNet, TorchNet
from twins.tensors import in_half_precision

IMAGES = Arguments((np.random.default_rng(0).standard_normal((2, 3, 33, 41)),))
SMALL = Arguments((np.random.default_rng(0).standard_normal((2, 3, 9, 7)),))
DOCUMENT = Path(__file__).parents[3] / "docs" / "recordings.md"


def record_reference(module: torch.nn.Module, folder: Path, inputs: Arguments = SMALL, keep: str = "tensors") -> Path:
    said: list[str] = []
    recorder.ReferenceRecorder(module, {"images": inputs}).record(
        folder, keep=keep, name="ref:build", weights=None, say=said.append
    )
    assert re.fullmatch(r".*: about [\d.,]+ [MG]B are written", said[0])
    return folder


def record_port(layer: Any, folder: Path, reference: Path, keep: str = "tensors") -> Path:
    """With the reference's weights, as a port that was loaded has."""
    match_port(Recording(reference), layer, None)
    settings = {"keep": keep, "name": "port:build", "weights": None, "loaded": True, "say": lambda said: None}
    recorder.record_port(layer, Recording(reference).inputs, folder, **settings)
    return folder


CASES = {
    "official": (official_reference.build_loaded, official_port.build, IMAGES),
    "official, inline": (official_reference.build_loaded, official_port.build_inline, IMAGES),
    "mmseg": (foreign_references.build_mmseg, foreign_references.build_mmseg_port, IMAGES),
    "mmseg, wrong": (foreign_references.build_mmseg, foreign_references.build_mmseg_wrong, IMAGES),
    "epsilon": (TorchNet, lambda: PaddleNet(epsilon=1e-3), SMALL),
    "padding": (TorchNet, lambda: PaddleNet(padding=1), SMALL),
}


@pytest.mark.parametrize("case", CASES)
def test_a_recording_says_what_the_running_reference_does(tmp_path, case):
    """Of units, conventions and scalars too: InPlaceABN in one layer, a slope of 0.01 that is a C float."""
    build, build_port, inputs = CASES[case]
    folder = record_reference(build(), tmp_path / "reference", inputs)
    recording = Recording(folder)
    reports = []
    for reference in (build(), recording):
        port = build_port()
        pairing, summary = match_port(reference, port, None)
        reports.append(compare_models(reference, port, {"images": inputs}, pairs=pairing, weights=summary))
    live, recorded = reports
    assert bool(recorded) == bool(live)
    assert [(one.path, one.call, one.site) for one in recorded.guilty] == [
        (one.path, one.call, one.site) for one in live.guilty
    ]
    assert recorded.coverage.paired == live.coverage.paired
    assert recorded.problems == live.problems
    for one, two in zip(live.layers, recorded.layers, strict=True):
        assert (one.path, one.mode, one.dtype, bool(one.comparison)) == (
            two.path,
            two.mode,
            two.dtype,
            bool(two.comparison),
        )
    ported = record_port(build_port(), tmp_path / "port", folder)
    compared = compare_recordings(ported, folder)
    assert bool(compared) == bool(live)
    assert [one.path for one in compared.guilty][:1] == [one.path for one in live.guilty][:1]


def test_attributes_that_no_output_shows_are_compared(tmp_path):
    folder = record_reference(TorchNet(), tmp_path / "reference")
    port = PaddleNet()
    port.bn._momentum = 0.1
    pairing, summary = match_port(Recording(folder), port, None)
    report = compare_models(Recording(folder), port, Recording(folder).inputs, pairs=pairing, weights=summary)
    assert "momentum" in report.guilty[0].reason
    assert "momentum" in compare_recordings(record_port(port, tmp_path / "port", folder), folder).guilty[0].reason


def test_weights_that_differ_fail(tmp_path):
    folder = record_reference(TorchNet(), tmp_path / "reference")
    port = PaddleNet()
    settings = {"keep": "tensors", "name": "port:build", "weights": None, "say": lambda said: None}
    recorder.record_port(port, Recording(folder).inputs, tmp_path / "fresh", loaded=False, **settings)
    report = compare_recordings(tmp_path / "fresh", folder)
    assert not report
    assert "weights differ" in report.problems[0]
    assert "record it with --port-weights" in report.problems[0]


def test_digests_are_smaller_and_find_what_is_wrong(tmp_path):
    inputs = Arguments((np.random.default_rng(0).standard_normal((2, 3, 64, 64)),))
    whole = record_reference(TorchNet(), tmp_path / "whole", inputs)
    folder = record_reference(TorchNet(), tmp_path / "digests", inputs, keep="digests")
    size = {one: sum(path.stat().st_size for path in one.iterdir()) for one in (whole, folder)}
    assert size[folder] < size[whole] / 2
    good = record_port(PaddleNet(), tmp_path / "good", folder, keep="digests")
    assert compare_recordings(good, folder)
    bad = record_port(PaddleNet(epsilon=1e-3), tmp_path / "bad", folder, keep="digests")
    report = compare_recordings(bad, folder)
    assert [guilty.path for guilty in report.guilty] == ["bn"]
    assert any("samples were compared" in note for note in report.notes)
    assert_one_line_error(
        call("ccnet-parity", "--reference-recording", folder, "--port", "tests.parity.testing.networks:build_port"),
        2,
        "recording of digests",
        "--keep tensors",
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    return record_reference(TorchNet(), tmp_path_factory.mktemp("recorded") / "reference")


@pytest.fixture
def copied(reference, tmp_path) -> Path:
    return Path(shutil.copytree(reference, tmp_path / "copied"))


def edit(folder: Path, change: Any) -> None:
    content = json.loads((folder / INDEX).read_text())
    change(content)
    (folder / INDEX).write_text(json.dumps(content))


def test_a_changed_array_is_refused(copied):
    path = copied / "tensors-00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"tensors-00001\.safetensors: is missing, or was changed"):
        Recording(copied)
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        Recording(copied)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.update(version=2), "version"),
        (lambda content: content["tensors"]["t0"].update(file="../../etc/passwd"), "does not match"),
        (lambda content: content["modules"][0].update({"class": "a b"}), "does not match"),
        (lambda content: content["modules"][0]["attributes"].update({"__class__": 1}), "__class__"),
        (lambda content: content.pop("inputs"), "inputs"),
    ],
)
def test_an_index_that_is_none_is_refused(copied, change, said):
    edit(copied, change)
    with pytest.raises(InputError, match=said):
        Recording(copied)


def test_an_index_that_contradicts_its_arrays_is_refused(copied):
    entry = Recording(copied).index["inputs"][0]["args"][0]
    edit(copied, lambda content: content["tensors"][entry].update(shape=[1, 2]))
    with pytest.raises(InputError, match=rf"{entry} is float32"):
        _ = Recording(copied).inputs


@pytest.mark.parametrize("words", [("compare", "DIR", "DIR"), ("compare", "EMPTY", "DIR")])
def test_another_recording_is_refused(reference, tmp_path, words):
    names = {"DIR": str(reference), "EMPTY": str(tmp_path)}
    assert_one_line_error(call("ccnet-parity", *(names.get(word, word) for word in words)), 2, "record")


def test_other_inputs_are_refused(reference, tmp_path):
    settings = {"keep": "tensors", "name": "port", "weights": None, "loaded": True, "say": lambda said: None}
    recorder.record_port(PaddleNet(), {"images": Arguments((np.ones((1, 3, 9, 7)),))}, tmp_path / "port", **settings)
    with pytest.raises(ParityInputError, match="was not recorded on the input images"):
        compare_recordings(tmp_path / "port", reference)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give --reference or --port"),
        ({"reference": "a:b", "port": "c:d"}, "give --reference or --port"),
        ({"port": "c:d", "source": Path("a.pth")}, "SOURCE belongs to --reference"),
        ({"reference": "a:b", "port_weights": Path("a")}, "--port-weights belongs to --port"),
        ({"reference": "a:b", "reference_recording": Path("a")}, "--reference-recording belongs to --port"),
        ({"port": "c:d", "reference_recording": Path("a"), "inputs": "x:y"}, "leave out --inputs"),
    ],
)
def test_options_that_contradict(tmp_path, options, said):
    with pytest.raises(ParityInputError, match=said):
        run(Options(out=tmp_path / "out", **options))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--input-size", "9"), "--input-size"),
        (("a.pth",), "SOURCE"),
        (("--reference", "a:b"), "--reference"),
        (("--export-repro", "x"), "--export-repro"),
    ],
)
def test_options_that_contradict_a_recording(reference, words, said):
    line = ("--reference-recording", reference, "--port", "tests.parity.testing.networks:build_port", *words)
    assert_one_line_error(call("ccnet-parity", *line), 2, "leave out", said)
    assert_one_line_error(call("ccnet-parity", "--reference-recording", reference), 2, "give --port or --config")


def test_nothing_half_written_is_left_and_nothing_else_is_overwritten(tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    (own / "notes.txt").write_text("mine")
    with pytest.raises(ParityInputError, match="is there and no recording"):
        record_reference(TorchNet(), own)
    monkeypatch.setattr(recorder, "describe_inputs", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record_reference(TorchNet(), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    assert (own / "notes.txt").read_text() == "mine"


def test_what_lies_beside_a_recording_is_not_lost(tmp_path, reference):
    shutil.copytree(reference, tmp_path / "own")
    (tmp_path / "own" / "notes.txt").write_text("mine")
    with pytest.raises(ParityInputError, match=r"holds more than a recording \(notes\.txt\); name a new folder"):
        record_reference(TorchNet(), tmp_path / "own")
    (tmp_path / "own" / "notes.txt").unlink()
    line = ("record", "--port", "tests.parity.testing.networks:build_port", "--reference-recording", tmp_path / "own")
    assert_one_line_error(call("ccnet-parity", *line, "--out", tmp_path / "own"), 2, "is the recorded reference")


def test_a_recording_that_has_no_room_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(ParityInputError, match=r"needs about .* MB, and 0.0 MB are free; use --keep digests"):
        record_reference(TorchNet(), tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_recording_is_replaced_by_another(reference, tmp_path):
    folder = record_reference(TorchNet(), tmp_path / "again")
    assert record_reference(TorchNet(), folder) == folder
    assert Recording(folder).modules.keys() == Recording(reference).modules.keys()


def test_the_document_tells_of_every_field():
    text = DOCUMENT.read_text(encoding="utf-8")

    def names(schema: Any) -> set[str]:
        if isinstance(schema, list):
            return {name for part in schema for name in names(part)}
        if not isinstance(schema, dict):
            return set()
        own = set(schema.get("properties", {})) if isinstance(schema.get("properties"), dict) else set()
        return own | {name for value in schema.values() for name in names(value)}

    missing = {name for name in names(SCHEMA) if f"`{name}`" not in text}
    assert not missing


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_as_torch_does(dtype):
    values = np.random.default_rng(0).standard_normal(4096).astype(np.float32) * 10.0 ** np.arange(-4, 4).repeat(512)
    values = values.astype(np.float32)
    expected = torch.from_numpy(values).to(getattr(torch, dtype)).float().numpy()
    assert in_half_precision(values, dtype).tobytes() == expected.tobytes()


@pytest.mark.parametrize("corners", [False, True])
def test_arrays_are_resized_as_tensors_are(corners):
    images = np.random.default_rng(0).standard_normal((1, 2, 5, 7))
    expected = _resize_exactly(torch.from_numpy(images), [11, 13], corners=corners).numpy()
    np.testing.assert_allclose(_resize_exactly(images, [11, 13], corners=corners), expected, rtol=0, atol=1e-14)


def test_arrays_are_activated_as_tensors_are():
    features = np.linspace(-6, 6, 97)
    module = torch.nn.LeakyReLU(0.3)
    module.negative_slope = 0.3
    arrays = list(activated(module, features))
    for tensor in activated(module, torch.from_numpy(features)):
        near = min(np.abs(array - tensor.numpy()).max() for array in arrays)
        assert near < 1e-14 or "hardsigmoid" in str(tensor) or near < 0.6  # Hardsigmoid alone has no counterpart


def test_paddle_tensors_are_read_without_torch():
    from twins.tensors import ARRAYS

    tensor = paddle.to_tensor([[1.0, -2.5]]).astype("bfloat16")
    assert ARRAYS.read(tensor).tolist() == [[1.0, -2.5]]
    assert ARRAYS.write(np.float64([[3.0]])).dtype == paddle.float64
