"""One framework a machine: each command in a process in which the other framework cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import one_framework
from tests.cli.run import assert_one_line_error
from tests.cli.users_project import PORT, REFERENCE, write
from tests.schemas import validate_output

TORCH_ONLY, PADDLE_ONLY, NEITHER = ("paddle",), ("torch",), ("torch", "paddle")


def run(missing: tuple[str, ...], folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, one_framework.__file__, *missing, "--", *map(str, words)]
    result = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    validate_output(["ccnet-parity", *map(str, words)], result.stdout)
    return result


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A reference, its port and a wrong one; the reference is recorded where there is no Paddle."""
    folder = tmp_path_factory.mktemp("two")
    write(folder / "ref.py", REFERENCE)
    write(folder / "port.py", PORT)
    write(folder / "wrong.py", PORT.replace("nn.BatchNorm2D(4)", "nn.BatchNorm2D(4, epsilon=1e-3)"))
    result = run(TORCH_ONLY, folder, "record", "--reference", "ref.py:build", "--out", "reference", "--input-size", 9)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "recorded: reference\n"
    assert "reference: about 0.0 MB are written" in result.stderr
    return folder


def test_a_port_is_compared_with_a_recording_where_there_is_no_torch(project):
    result = run(PADDLE_ONLY, project, "--reference-recording", "reference", "--port", "port.py:build", "--json")
    assert result.returncode == 0, result.stderr + result.stdout
    found = json.loads(result.stdout)
    assert {layer["mode"] for layer in found["layers"]} == {"free", "isolated"}
    assert {layer["dtype"] for layer in found["layers"]} == {"float64", "float32"}
    assert found["weights"]["copied"] is True
    assert found["files"]["reference"]["name"] == "ref.py:build"


def test_the_guilty_layer_is_named_where_there_is_no_torch(project):
    words = ("--reference-recording", "reference", "--port", "wrong.py:build", "--report", "report")
    result = run(PADDLE_ONLY, project, *words)
    assert result.returncode == 1, result.stderr
    assert "FAILED: bn: its output differs" in result.stdout
    assert "cause: epsilon is 0.001, the reference's is 1e-05" in result.stdout
    assert "change: epsilon=1e-05 (wrong.py:" in result.stdout
    assert "`bn`" in (project / "report" / "ALIGNMENT.md").read_text()


@pytest.mark.parametrize(("port", "code"), [("port", 0), ("wrong", 1)])
def test_both_recordings_are_compared_where_there_is_neither(project, port, code):
    words = ("--port", f"{port}.py:build", "--reference-recording", "reference", "--out", f"recorded-{port}")
    result = run(PADDLE_ONLY, project, "record", *words)
    assert result.returncode == 0, result.stderr
    result = run(NEITHER, project, "compare", f"recorded-{port}", "reference", "--json")
    assert result.returncode == code, result.stdout + result.stderr
    found = [(guilty["path"], guilty["cause"]["name"]) for guilty in json.loads(result.stdout)["guilty"]]
    assert found == ([("bn", "epsilon")] if code else [])


def test_what_needs_the_other_framework_is_one_line(project):
    """Where it is missing, the commands that need both say which."""
    line = ("--reference", "ref.py:build", "--port", "port.py:build", "--input-size", 9)
    assert_one_line_error(run(PADDLE_ONLY, project, *line), 2, "--reference ref.py:build", "torch")
    assert_one_line_error(run(TORCH_ONLY, project, *line), 2, "paddle")


@pytest.mark.parametrize("missing", [TORCH_ONLY, PADDLE_ONLY])
def test_the_doctor_finds_one_framework_fit(project, missing):
    result = run(missing, project, "doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "not installed" not in result.stdout or "note: " in result.stdout
