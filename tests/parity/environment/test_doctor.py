"""The doctor: each thing that changes numbers, or that keeps a comparison from running, is seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from rich.console import Console

from parity.environment import doctor
from parity.environment.findings import Examination, Finding
from parity.environment.switches import TF32_VARIABLE
from parity.reports.examination import print_examination


@pytest.fixture
def versions(monkeypatch) -> dict[str, str | None]:
    """What is installed, otherwise than it is."""
    changed: dict[str, str | None] = {}
    own = doctor.find_version
    monkeypatch.setattr(doctor, "find_version", lambda name: changed[name] if name in changed else own(name))
    return changed


def only(check: Callable[[], object], name: str) -> Finding:
    (found,) = [finding for finding in check() if finding.name == name]
    return found


def test_this_installation_is_fit():
    examination = doctor.examine()
    assert examination, [finding for finding in examination.findings if finding.verdict == "fault"]
    assert {"torch", "Paddle", "numpy", "TF32", "threads"} <= {finding.name for finding in examination.findings}
    assert examination.to_json()["healthy"] is True
    assert {"torch", "paddle"} == set(examination.environment["switches"])


def test_both_paddles_are_a_fault(versions):
    versions |= {"paddlepaddle": "3.3.1", "paddlepaddle-gpu": "2.6.2"}
    assert only(doctor.check_paddle, "Paddle").verdict == "fault"


def test_a_version_that_is_not_tested_is_noted(versions):
    versions["torch"] = "2.0.1"
    found = only(doctor.check_torch, "torch")
    assert (found.verdict, found.found) == ("note", "2.0.1")
    assert "2.6" in found.advice


@pytest.mark.parametrize(("paddleseg", "verdict"), [("2.8.0", "fault"), (None, "note")])
def test_numpy_2(versions, paddleseg, verdict):
    versions |= {"numpy": "2.1.0", "paddleseg": paddleseg}
    found = only(doctor.check_packages, "numpy")
    assert found.verdict == verdict
    assert "numpy<2" in found.advice


def test_a_package_that_is_missing_is_a_fault(versions):
    versions["greenlet"] = None
    found = only(doctor.check_packages, "greenlet")
    assert found.verdict == "fault"
    assert "pip install" in found.advice


def test_a_framework_that_is_missing_or_broken_is_a_fault(monkeypatch):
    class Blocked:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "torch":
                raise ImportError("libcudart.so.12: cannot open\nshared object file")

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "meta_path", [Blocked, *sys.meta_path])
    found = only(doctor.check_torch, "torch")
    assert found.verdict == "fault"
    assert found.found == "cannot be imported: libcudart.so.12: cannot open shared object file"


@pytest.mark.parametrize(
    ("variable", "value", "check", "name"),
    [
        ("FLAGS_use_onednn", "1", doctor.check_flags, "FLAGS_use_onednn"),
        ("ATEN_CPU_CAPABILITY", "default", doctor.check_flags, "ATEN_CPU_CAPABILITY"),
        ("OMP_NUM_THREADS", "97", doctor.check_threads, "threads"),
    ],
)
def test_variables_that_change_numbers_are_noted(monkeypatch, variable, value, check, name):
    monkeypatch.setenv("OMP_NUM_THREADS", str(os.cpu_count()))
    assert not [finding for finding in check() if finding.verdict != "ok" and finding.name == name]
    monkeypatch.setenv(variable, value)
    found = only(check, name)
    assert found.verdict == "note"
    assert value in found.found
    assert found.advice


def test_tf32_that_is_forbidden_is_well(monkeypatch):
    doctor.examine()
    monkeypatch.delenv(TF32_VARIABLE, raising=False)
    assert only(doctor.check_tf32, "TF32").verdict == "note"
    monkeypatch.setenv(TF32_VARIABLE, "0")
    assert only(doctor.check_tf32, "TF32").verdict == "ok"


@pytest.mark.parametrize("sees", [(True, False), (False, True), (False, False)])
def test_a_gpu_that_one_framework_sees(monkeypatch, sees):
    cuda = SimpleNamespace(is_available=lambda: sees[0], get_device_name=lambda number: "H100")
    device = SimpleNamespace(
        is_compiled_with_cuda=lambda: sees[1],
        cuda=SimpleNamespace(device_count=lambda: 1, get_device_name=lambda number: "H100"),
    )
    for name, module in (("torch", {"cuda": cuda}), ("paddle", {"device": device})):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**module))
    assert only(doctor.check_device, "GPU").verdict == ("note" if any(sees) else "ok")


def test_an_extra_that_is_missing_is_noted(monkeypatch):
    monkeypatch.setitem(doctor.EXTRAS, "onnx", ("no_such_module", "the export chain"))
    found = only(doctor.check_extras, "extra onnx")
    assert (found.found, found.verdict) == ("not installed", "note")
    assert "pip install 'ccnet-parity[onnx]'" in found.advice


def test_the_table_fits_a_terminal_and_ends_in_a_verdict():
    console = Console(width=80, record=True)
    findings = [Finding("torch", "cannot be imported: " + "libcudart " * 12, "fault", "pip install torch")]
    print_examination(Examination(findings, {}), console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines[:-3])) <= 80
    assert lines[-2:] == ["fault: torch: pip install torch", "UNFIT: 1 faults"]
