"""TF32 is off in both frameworks where it is forbidden, and as before afterwards; reports say so."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from models_paddle import paddle
from parity import command
from parity.environment.describe import describe_environment, list_facts
from parity.environment.switches import TF32_VARIABLE, read_switches, without_tf32


def tf32() -> dict[str, bool]:
    return {
        f"{framework} {name}": value
        for framework, switches in read_switches().items()
        for name, value in switches.items()
        if name.startswith("tf32")
    }


@pytest.fixture
def switched_on():
    """Every switch that there is, as a user may have left it."""
    core, backends = paddle.base.core, torch.backends
    before = core.get_cublas_switch(), core.get_cudnn_switch()
    own = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
    core.set_cublas_switch(True), core.set_cudnn_switch(True)
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = True
    yield
    core.set_cublas_switch(before[0]), core.set_cudnn_switch(before[1])
    backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32 = own


def test_tf32_is_off_within_and_as_before_afterwards(switched_on, monkeypatch):
    monkeypatch.setenv(TF32_VARIABLE, "1")
    assert set(tf32().values()) == {True}
    assert len(tf32()) == 4
    with without_tf32():
        assert set(tf32().values()) == {False}
        assert os.environ[TF32_VARIABLE] == "0"
        assert torch.backends.cudnn.allow_tf32 is False  # what a user's code reads
    assert set(tf32().values()) == {True}
    assert os.environ[TF32_VARIABLE] == "1"


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch 2.9's names")
def test_tf32_that_is_inherited_is_off_too(switched_on, monkeypatch):
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32")
    with without_tf32():
        assert not any(tf32().values())


def test_nothing_is_touched_where_it_is_allowed(switched_on):
    with without_tf32(False):
        assert set(tf32().values()) == {True}
        assert os.environ.get(TF32_VARIABLE) is None


def test_a_framework_that_is_not_imported_is_not_asked(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    assert set(read_switches()) == {"paddle"}
    assert "torch" not in sys.modules


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_on_a_gpu_forbids_tf32_unless_told(switched_on, monkeypatch, keep):
    """This machine need not have one: both are told to take the CPU for it."""
    monkeypatch.setattr(command, "set_paddle_device", lambda device: None)
    monkeypatch.setattr("twins.build.torch_device", lambda device: "cpu")
    report = command.run(command.Options(device="gpu", keep_tf32=keep, input_size=(17, 17), dtype="float64"))
    switches = report.to_json()["environment"]["switches"]
    assert [switches[framework]["tf32_convolutions"] for framework in ("torch", "paddle")] == [keep, keep]
    assert report.to_json()["device"] == "gpu"
    assert set(tf32().values()) == {True}


def test_the_environment_tells_flags_and_switches(monkeypatch):
    monkeypatch.setenv("FLAGS_cudnn_deterministic", "1")
    environment = describe_environment()
    assert environment["flags"]["FLAGS_cudnn_deterministic"] == "1"
    facts = dict(list_facts({**environment, "device": "cpu"}))
    assert facts["torch cudnn benchmark"] == "off"
    assert facts["device"] == "cpu"
    assert facts["FLAGS_cudnn_deterministic"] == "1"
    assert facts["numpy"] == environment["versions"]["numpy"]
