"""The commands as users run them: real subprocesses, exit code and output."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.run import BIN, assert_one_line_error, call, run
from twins.standin import make_state_dict, save_state_dict


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "official.pth"
    save_state_dict(path, make_state_dict("official", depth=18, num_classes=5))
    return path


@pytest.fixture(scope="module")
def converted(official) -> Path:
    target = official.with_name("converted.pdparams")
    result = run("ccnet-convert", official, target, "--recurrence", 1)
    assert result.returncode == 0, result.stderr
    return target


def test_a_file_that_ends_too_early_is_no_abortion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own, of a half-written .pyc; click would print "Aborted!"."""

    def read(*_: object) -> None:
        raise EOFError("marshal data too short")

    monkeypatch.setattr("ccnet_cli.common.check_files", read)
    result = call("ccnet-convert", "--inspect", "a.pth")
    assert_one_line_error(result, 2, "a file ends too early: marshal data too short")


def test_convert_tells_what_it_did(official, tmp_path):
    result = run("ccnet-convert", official, tmp_path / "out.pdparams")
    assert result.returncode == 0, result.stderr
    for words in ("official", "because all", "5 classes", "no checkpoint contains it", "fold weight", "verified:"):
        assert words in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.manifest.json", "out.pdparams"]


def test_convert_json_is_the_manifest(official, tmp_path):
    result = run("ccnet-convert", official, tmp_path / "out.pdparams", "--json", "--recurrence", 2)
    printed = json.loads(result.stdout)
    reason = printed.pop("reason")
    assert "all" in reason
    assert printed == json.loads((tmp_path / "out.manifest.json").read_text())
    assert printed["recurrence"] == 2


def test_plain_paddle_loads_the_result(converted):
    script = (
        "import sys, paddle; state = paddle.load(sys.argv[1]); "
        "from models_paddle import build_ccnet; net = build_ccnet(num_classes=5, depth=18); "
        "print(net.set_state_dict(state), type(state['head.attention.gamma']).__name__)"
    )
    result = subprocess.run([sys.executable, "-c", script, str(converted)], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "([], []) Tensor"


def test_dry_run_writes_nothing(official, tmp_path):
    result = run("ccnet-convert", official, tmp_path / "out.pdparams", "--dry-run")
    assert result.returncode == 0
    assert "nothing was written" in result.stdout
    assert not list(tmp_path.iterdir())


def test_existing_target_needs_force(official, tmp_path):
    target = tmp_path / "out.pdparams"
    target.write_text("mine")
    assert_one_line_error(run("ccnet-convert", official, target), 2, "exists", "--force")
    assert target.read_text() == "mine"
    assert run("ccnet-convert", official, target, "--force").returncode == 0
    assert target.stat().st_size > 1000


def spoiled(state: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
    if how == "missing":
        del state["layer1.0.conv1.weight"]
    elif how == "extra":
        state["layer9.weight"] = np.zeros(3, np.float32)
    elif how == "shape":
        state["dsn.0.bias"] = np.zeros(3, np.float32)
    elif how == "nan":
        state["conv1.weight"][0, 0, 0, 0] = np.nan
    elif how == "twice":
        state["module.conv1.weight"] = state["conv1.weight"]
    return state


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", ["1 missing", "layer1.0.conv1.weight"]),
        ("extra", ["1 unexpected", "layer9.weight"]),
        ("shape", ["wrong shape", "dsn.0.bias is (3,)", "needs (64,)"]),
        ("nan", ["not finite", "conv1.weight"]),
        ("twice", ["two keys for one target", "conv1.weight"]),
    ],
)
def test_wrong_tensors_are_refused(tmp_path, how, words):
    source = tmp_path / "bad.pth"
    save_state_dict(source, spoiled(make_state_dict("official", depth=18), how))
    target = tmp_path / "out.pdparams"
    assert_one_line_error(run("ccnet-convert", source, target), 2, "bad.pth", *words)
    assert list(tmp_path.iterdir()) == [source]


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def write_bad_file(path: Path, kind: str, proof: Path) -> None:
    if kind == "empty":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("no checkpoint")
    elif kind == "truncated":
        whole = path.with_name("whole")
        torch.save({"conv1.weight": torch.zeros(99)}, whole)
        path.write_bytes(whole.read_bytes()[:-200])
        whole.unlink()
    elif kind == "code":
        torch.save({"state_dict": {"conv1.weight": torch.zeros(9)}, "extra": Attack(proof)}, path)
    elif kind == "legacy code":
        path.write_bytes(pickle.dumps(Attack(proof)))


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("missing", "No such file"),
        ("empty", "empty"),
        ("directory", "directory"),
        ("text", "not a checkpoint"),
        ("truncated", "truncated"),
        ("code", "posix.system"),
        ("legacy code", "posix.system"),
    ],
)
def test_files_that_are_no_checkpoints_are_refused(tmp_path, kind, word):
    source, proof = tmp_path / "bad.pth", tmp_path / "executed"
    write_bad_file(source, kind, proof)
    assert_one_line_error(run("ccnet-convert", source, tmp_path / "out.pdparams"), 2, "bad.pth", word)
    assert not proof.exists()
    assert not (tmp_path / "out.pdparams").exists()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("none/out.pdparams", ["does not exist"]),
        ("out.bin", [".pdparams"]),
    ],
)
def test_wrong_targets_are_refused(official, tmp_path, target, words):
    assert_one_line_error(run("ccnet-convert", official, tmp_path / target), 2, *words)
    assert not list(tmp_path.iterdir())


def test_unknown_family_lists_the_known(official, tmp_path):
    result = run("ccnet-convert", official, tmp_path / "out.pdparams", "--family", "nonsense")
    assert_one_line_error(result, 2, "nonsense", "official", "pure_pytorch")


def test_full_disk_leaves_nothing(official, tmp_path):
    """A file size limit stands for the disk: the same OSError from the same write."""
    target = tmp_path / "out.pdparams"
    limited = f"ulimit -f 64; trap '' XFSZ; exec {BIN / 'ccnet-convert'} {official} {target}"
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False)
    assert_one_line_error(result, 2, "cannot write", "nothing was changed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_the_old_target(official, tmp_path, sent):
    target = tmp_path / "out.pdparams"
    target.write_text("mine")
    process = subprocess.Popen(
        [str(BIN / "ccnet-convert"), str(official), str(target), "--force"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and len(list(tmp_path.iterdir())) == 1:
        pass
    process.send_signal(sent)
    _, errors = process.communicate()
    assert process.returncode == 128 + sent
    assert errors == "error: interrupted; every file is whole, as it was before or new\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.pdparams"]
    assert target.read_text() == "mine"


def test_parity_of_a_conversion(official, converted):
    result = run("ccnet-parity", official, converted, "--input-size", "33,41")
    assert result.returncode == 0, result.stderr
    for words in ("PASSED", "recurrence 1", "all equal bit for bit", "2×3×33×41", "float64", "float32"):
        assert words in result.stdout


def test_parity_json_contract(official, converted):
    result = call("ccnet-parity", official, converted, "--input-size", "33", "--recurrence", 3, "--json")
    report = json.loads(result.stdout)
    assert report["passed"] is True
    assert report["recurrence"] == 3
    assert report["first_divergence"] is None
    assert report["guilty"] == []
    assert {"paired", "unpaired_torch", "unpaired_paddle", "uninfluential"} <= report["coverage"].keys()
    assert {layer["dtype"] for layer in report["layers"]} == {"float32", "float64"}
    keys = "path call output shape mode dtype max_abs relative noise_ratio required_tolerance worst_index passed"
    assert set(keys.split()) <= set(report["layers"][0])
    assert "torch" in report["environment"]["versions"]


def test_parity_fails_on_one_changed_weight(official, converted, tmp_path):
    state = pickle.loads(converted.read_bytes())
    state["head.refine.conv.weight"][0, 0, 0, 0] += 0.01
    wrong = tmp_path / "wrong.pdparams"
    wrong.write_bytes(pickle.dumps(state, protocol=4))
    result = call("ccnet-parity", official, wrong, "--input-size", "33,41", "--json")
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert report["passed"] is False
    assert "head.refine.conv.weight" in report["summary"]
    assert report["first_divergence"]["path"] == "head"


def test_parity_refuses_a_checkpoint_of_another_network(official, tmp_path):
    other = tmp_path / "other.pdparams"
    other.write_bytes(pickle.dumps({"weight": np.zeros(3, np.float32)}, protocol=4))
    assert_one_line_error(call("ccnet-parity", official, other), 2, "other.pdparams", "not a conversion")


def test_parity_of_a_picture(official, converted, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    result = call("ccnet-parity", official, converted, "--image", tmp_path / "street.png")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "street.png 1×3×50×70" in result.stdout


@pytest.mark.parametrize("value", ["0", "a", "1,2,3", ""])
def test_bad_sizes_are_usage_errors(value):
    result = call("ccnet-parity", "--input-size", value)
    assert result.returncode == 2
    assert "769 or 512,1024" in result.stderr


def test_one_file_is_a_usage_error(official):
    result = call("ccnet-parity", official)
    assert result.returncode == 2
    assert "SOURCE and TARGET" in result.stderr


def test_gpu_without_one_is_said(official, converted):
    if not torch.cuda.is_available():
        assert_one_line_error(call("ccnet-parity", official, converted, "--device", "gpu"), 2, "--device gpu")


@pytest.mark.parametrize("command", ["ccnet-convert", "ccnet-parity"])
def test_help_has_examples_and_exit_codes(command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert "Examples:" in result.stdout
    assert "Exit code" in result.stdout
