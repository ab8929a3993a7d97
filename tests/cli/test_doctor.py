"""`ccnet-parity doctor`."""

from __future__ import annotations

import json
import os

from parity.environment import doctor
from parity.environment.findings import Finding
from tests.cli.run import call, run


def test_doctor_as_users_run_it():
    result = run("ccnet-parity", "doctor", "--json", env={**os.environ, "NVIDIA_TF32_OVERRIDE": "0"})
    assert result.returncode == 0, result.stderr + result.stdout
    said = json.loads(result.stdout)
    assert said["healthy"] is True
    found = {finding["name"]: finding for finding in said["findings"]}
    assert found["TF32"] == {"name": "TF32", "found": "off, by NVIDIA_TF32_OVERRIDE=0", "verdict": "ok", "advice": ""}
    assert said["environment"]["flags"]["NVIDIA_TF32_OVERRIDE"] == "0"


def test_doctor_for_people(monkeypatch):
    monkeypatch.setenv("FLAGS_cudnn_deterministic", "1")
    result = call("ccnet-parity", "doctor")
    assert result.returncode == 0, result.stderr + result.stdout
    assert "note: FLAGS_cudnn_deterministic: stands in every report" in result.stdout
    assert result.stdout.endswith("FIT: comparisons can run here\n")


def test_a_fault_is_exit_code_1(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", (lambda: [Finding("torch", "not installed", "fault", "pip install torch")],))
    result = call("ccnet-parity", "doctor")
    assert result.returncode == 1
    assert "fault: torch: pip install torch" in result.stdout
    assert "UNFIT" in result.stdout
