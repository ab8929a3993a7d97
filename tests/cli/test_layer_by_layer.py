"""`ccnet-parity --layer-by-layer` and its companions as users run them."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.run import assert_one_line_error, call, run
from twins.standin import make_state_dict, save_state_dict

SMALL = ("--input-size", "33,41")
ROOT = Path(__file__).parents[2]
PORT = "tests.parity.renamed_port:"


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "official.pth"
    save_state_dict(path, make_state_dict("official", depth=18))
    return path


@pytest.fixture(scope="module")
def converted(official) -> Path:
    target = official.with_name("converted.pdparams")
    assert run("ccnet-convert", official, target).returncode == 0
    return target


@pytest.fixture(scope="module")
def wrong(converted) -> Path:
    """A conversion in which someone changed one layer."""
    state = pickle.loads(converted.read_bytes())
    state["head.refine.conv.weight"][:, :, 0, 0] += 0.01
    path = converted.with_name("wrong.pdparams")
    path.write_bytes(pickle.dumps(state, protocol=4))
    return path


def test_healthy_pair(official, converted):
    result = run("ccnet-parity", official, converted, "--layer-by-layer", *SMALL)
    assert result.returncode == 0, result.stdout + result.stderr
    for words in ("backbone.stage3", "auxiliary_head", "isolated float64", "head.attention.key.bias", "PASSED"):
        assert words in result.stdout


def test_guilty_layer_and_contract(official, wrong, tmp_path):
    result = call("ccnet-parity", official, wrong, "--layer-by-layer", *SMALL, "--json", "--report", tmp_path)
    assert result.returncode == 1, result.stderr
    report = json.loads(result.stdout)
    assert [guilty["path"] for guilty in report["guilty"]] == ["head.refine.conv"]
    first = report["first_divergence"]
    assert first == {"path": "head.refine.conv", "call": 0, "mode": "isolated", "dtype": "float64"}
    layer = next(entry for entry in report["layers"] if not entry["passed"])
    keys = "path call output shape mode dtype max_abs relative noise_ratio required_tolerance worst_index passed"
    assert set(keys.split()) <= layer.keys()
    assert json.loads((tmp_path / "report.json").read_text())["guilty"] == report["guilty"]
    assert "head.refine.conv" in (tmp_path / "report.html").read_text()


def test_sentence_names_layer_and_limit(official, wrong):
    result = call("ccnet-parity", official, wrong, "--bisect", *SMALL)
    assert result.returncode == 1
    assert "FAILED: head.refine.conv: its output differs by" in result.stdout
    assert "the layer itself is wrong" in result.stdout
    assert "the smallest limit that would have passed" in result.stdout
    assert "head.fuse" not in result.stdout.split("FAILED")[1]


def test_options_narrow_the_comparison(official, wrong):
    arguments = ("--dtype", "float64", "--mode", "isolated", "--only", "head.*", "--skip", "head.refine*", "--json")
    result = call("ccnet-parity", official, wrong, *SMALL, *arguments)
    layers = json.loads(result.stdout)["layers"]
    assert {(layer["dtype"], layer["mode"]) for layer in layers} == {("float64", "isolated")}
    assert all(layer["path"].startswith("head.") and "refine" not in layer["path"] for layer in layers)


def test_dump_and_compare(official, wrong, converted, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    assert call("ccnet-parity", official, converted, "--dtype", "float64", "--dump", good, *SMALL).returncode == 0
    assert call("ccnet-parity", official, wrong, "--dtype", "float64", "--dump", bad, *SMALL).returncode == 1
    assert call("ccnet-parity", "compare", good / "paddle", good / "torch").returncode == 0
    result = call("ccnet-parity", "compare", bad / "paddle", good / "torch", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["first_divergence"]["path"] == "head.refine.conv"
    assert_one_line_error(call("ccnet-parity", "compare", good, good), 2, "neither a recording nor a dump")


def test_exported_reproduction_shows_the_fault(official, wrong, tmp_path):
    run("ccnet-parity", official, wrong, "--bisect", "--export-repro", tmp_path, *SMALL)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "repro.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    ours, theirs = (float(line.rpartition(" ")[2]) for line in result.stdout.splitlines()[-2:])
    assert ours < 1e-12
    assert theirs > 1e-3


def test_port_is_certified(official):
    result = run("ccnet-parity", official, "--port", PORT + "build", *SMALL, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "paired by proposal" in result.stdout
    assert "it was given the reference's, by the pairing" in result.stdout


def test_wrong_port_is_pinned(official, tmp_path):
    arguments = ("--port", PORT + "build_wrong", "--dtype", "float64", "--export-repro", tmp_path)
    result = call("ccnet-parity", official, *arguments, *SMALL, "--json")
    assert result.returncode == 1
    assert [guilty["path"] for guilty in json.loads(result.stdout)["guilty"]] == ["head.refine.activation"]
    assert (tmp_path / "repro.py").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "nonsense"), ["package.module:function"]),
        (("--port", "no_such:build"), ["cannot build it"]),
        (("--port", PORT + "build", "--port-weights", "missing.pdparams"), ["missing.pdparams", "No such file"]),
        (("--port", PORT + "build", "--mapping", "missing.json"), ["missing.json"]),
        (("--port", "tests.parity.official_port:build_raising"), ["cannot run it (ValueError: ", "official_port.py:"]),
    ],
)
def test_bad_port_options_are_one_line(official, arguments, words):
    assert_one_line_error(call("ccnet-parity", official, *arguments), 2, *words)


def test_a_dump_that_cannot_be_written_is_not_the_ports_fault(official, tmp_path):
    """A limit of file sizes stands for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        result = call("ccnet-parity", official, "--port", PORT + "build", "--dump", tmp_path, *SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_one_line_error(result, 2, str(tmp_path), "cannot write: File too large; nothing was changed")
    assert not list(tmp_path.iterdir())


def test_port_options_need_a_port(official, converted):
    assert_one_line_error(call("ccnet-parity", official, converted, "--mapping", "x.json"), 2, "--port")
    assert_one_line_error(call("ccnet-parity", official, converted, "--port", "a:b"), 2, "not both")
