"""Every gate on real networks: passes where all is well, for every family, and says what it looked at."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cityscapes.generate import make_dataset
from converter import execute, make_plan
from families import FAMILIES
from models_paddle import paddle
from parity.certify.catalogue import GATES
from parity.certify.gates import devices, export
from parity.certify.paddle_side import PaddleSide
from tests.parity.certify.cases import check_of, make_subject, outcome_of
from twins.standin import make_state_dict
from twins.weights import WeightPair

NETWORKS = [name for name, family in FAMILIES.items() if family.architecture.heads]
QUICK = ("weights", "loss", "optimiser", "regularisation", "backward", "initialisation")
"""Gates of a second or two."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certify")


def test_the_order_is_the_guides() -> None:
    assert list(GATES) == [
        "weights",
        "forward",
        "validation data",
        "metric",
        "loss",
        "optimiser",
        "learning rate",
        "regularisation",
        "backward",
        "training data",
        "initialisation",
        "training",
        "several devices",
        "export chain",
    ]


@pytest.mark.parametrize("gate", QUICK)
@pytest.mark.parametrize("family", NETWORKS)
def test_every_family_passes(family: str, gate: str, folder: Path) -> None:
    outcome = outcome_of(gate, make_subject(folder, family=family, seed=3, size=(33, 49)))
    if (family, gate) == ("paddleseg", "backward") and paddle.__version__.startswith("2."):
        assert "activation, output 0" in outcome.reason  # Paddle 2 keeps the slope 0.01 as a float32
        return
    assert outcome, outcome.reason
    assert outcome.measured <= outcome.limit
    assert outcome.checks


@pytest.mark.parametrize("gate", ["forward", "validation data", "metric", "learning rate", "training data"])
def test_the_other_gates_pass(gate: str, folder: Path) -> None:
    outcome = outcome_of(gate, make_subject(folder))
    assert outcome, outcome.reason


PORT = "tests.parity.official_port:"
"""Its modules have other boundaries, its slope is a decimal."""
PARTS = {name: f"tests.parity.certify.own_parts:{name}" for name in ("loss", "optimiser")}


@pytest.mark.parametrize("gate", ["weights", "backward", "training"])
def test_a_port_with_other_boundaries_passes(gate: str, folder: Path) -> None:
    outcome = outcome_of(gate, make_subject(folder, port=PORT + "build_inline", parts=PARTS, size=(33, 49)))
    assert outcome, outcome.reason


@pytest.mark.parametrize("gate", ["backward", "training"])
def test_a_scale_that_such_a_port_never_trains_fails(gate: str, folder: Path) -> None:
    outcome = outcome_of(gate, make_subject(folder, port=PORT + "build_frozen", parts=PARTS, size=(33, 49)))
    assert outcome.verdict == "failed"
    assert "head.attention.gamma" in outcome.reason


def test_training(folder: Path) -> None:
    outcome = outcome_of("training", make_subject(folder, family="mmseg", size=(33, 49)))
    assert outcome, outcome.reason
    assert {name: len(losses) for name, losses in outcome.curves.items()} == {
        f"{framework} {dtype}": 5 for dtype in ("float64", "float32") for framework in ("torch", "Paddle")
    }
    assert all(np.isfinite(losses).all() for losses in outcome.curves.values())


@pytest.mark.parametrize("recurrence", [0, 1])
def test_other_recurrences(recurrence: int, folder: Path) -> None:
    """Without a pass the attention has no gradients, and no velocities."""
    for gate in ("backward", "training"):
        outcome = outcome_of(gate, make_subject(folder, recurrence=recurrence, size=(33, 49)))
        assert outcome, outcome.reason


def test_two_gradients_are_named_as_zero_by_analysis(folder: Path) -> None:
    (remark,) = outcome_of("backward", make_subject(folder)).remarks
    assert remark.endswith("head.attention.key.bias, auxiliary_head.fuse.conv.bias")


def test_plain_batch_norm_fails_and_is_named(folder: Path) -> None:
    """`paddle.nn.BatchNorm2D` in place of the twin's."""

    def make_plain(side: PaddleSide) -> None:
        for info in side.modules.values():
            if info.kind == "norm":
                info.module.__class__ = paddle.nn.BatchNorm2D

    outcome = outcome_of("backward", make_subject(folder, edit=make_plain))
    assert outcome.verdict == "failed"
    assert not check_of(outcome, "running statistics")
    assert "biased" in outcome.reason
    assert "unbias" in outcome.reason
    assert outcome.cause is not None
    assert (outcome.cause.name, outcome.cause.fix) == ("biased variance", "models_paddle.norm.unbias(network)")


def spoil(path: str, change: Callable[[Any], Any]) -> Callable[[PaddleSide], None]:
    """An edit that changes what the module at `path` returns."""

    def edit(side: PaddleSide) -> None:
        module = side.modules[path].module
        forward = module.forward
        module.forward = lambda *inputs: change(forward(*inputs))

    return edit


@pytest.mark.parametrize(
    ("path", "first"),
    [("backbone.stage2.1.spatial.conv", "backbone.stage2.1.spatial.conv"), ("head.attention", "head.attention")],
)
def test_the_first_bad_layer_is_named(path: str, first: str, folder: Path) -> None:
    """A gradient that is twice what it should be, with the right output."""
    outcome = outcome_of("backward", make_subject(folder, edit=spoil(path, lambda out: 2 * out - out.detach())))
    assert outcome.verdict == "failed"
    assert check_of(outcome, "layer by layer, isolated").detail.startswith(first)
    assert not check_of(outcome, "layer by layer, free-running")


def test_a_nan_fails(folder: Path) -> None:
    outcome = outcome_of("backward", make_subject(folder, edit=spoil("head.fuse.conv", lambda out: out * float("nan"))))
    assert outcome.verdict == "failed"


def test_a_changed_weight_fails(folder: Path) -> None:
    subject = make_subject(folder)
    name = "head.classifier.bias"
    object.__setattr__(subject.weights, "different", (name,))
    outcome = outcome_of("weights", subject)
    assert outcome.verdict == "failed"
    assert name in outcome.reason


def test_a_source_that_does_not_come_back_fails(folder: Path) -> None:
    subject = make_subject(folder)
    subject.weights.source["conv1.weight"] = subject.weights.source["conv1.weight"] + 1
    outcome = outcome_of("weights", subject)
    assert outcome.verdict == "failed"
    assert "conv1.weight" in outcome.reason


def test_a_data_set_of_ones_own(folder: Path) -> None:
    root = folder / "own"
    make_dataset(root, counts={"train": 2, "val": 1}, size=(96, 192))
    subject = make_subject(folder, cityscapes=root)
    for gate in ("validation data", "metric", "training data"):
        assert outcome_of(gate, subject), gate


@pytest.mark.parametrize("classes", [2, 21])
def test_other_numbers_of_classes(classes: int, folder: Path) -> None:
    weights = make_pair(classes)
    for gate in ("metric", "loss", "backward", "training"):
        outcome = outcome_of(gate, replace(make_subject(folder, size=(33, 49)), weights=weights))
        assert outcome, (gate, outcome.reason)


def make_pair(classes: int) -> WeightPair:
    """Stand-in weights of another number of classes."""
    state = make_state_dict("mmseg", num_classes=classes, depth=18)
    plan = make_plan(state, "mmseg")
    tensors = {name: array for _, name, array in execute(plan, state)}
    return WeightPair(plan=plan, torch=tensors, paddle=dict(tensors), different=(), rounding=0.0, source=state)


def test_several_devices(folder: Path) -> None:
    outcome = outcome_of("several devices", make_subject(folder, size=(33, 49)))
    assert outcome, outcome.reason
    assert len(outcome.checks) == 6


def test_unsynchronised_statistics_fail(folder: Path) -> None:
    checks = devices.run(make_subject(folder, size=(33, 49)), frameworks=["torch"], synchronised=False).checks
    assert not any(checks)


def test_export_chain(folder: Path) -> None:
    """The twin's formulation survives oneDNN and paddle2onnx."""
    evidence = export.run(make_subject(folder), shapes=["any shape"])
    steps = ["reloaded", "Paddle Inference", "Paddle Inference with oneDNN", "ONNX Runtime"]
    if paddle.__version__.startswith("2."):
        steps.pop()
        assert "needs Paddle 3" in str(evidence.remarks)
    assert [check.name for check in evidence.checks] == [f"any shape, {step}" for step in steps]
    assert all(evidence.checks), [check.detail for check in evidence.checks if not check]


@pytest.mark.skipif(paddle.__version__.startswith("2."), reason="paddle2onnx needs Paddle 3")
def test_an_operator_that_onnx_has_not_fails_the_chain(folder: Path) -> None:
    port = "tests.parity.certify.inexpressible:build"
    checks = export.run(make_subject(folder, port=port), shapes=["fixed shape"]).checks
    assert [bool(check) for check in checks] == [True, True, True, False]
    assert "crashed with SIGABRT" in checks[-1].detail
    assert "unsupported operators" in checks[-1].detail


def test_without_the_packages_onnx_is_named_as_not_covered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    evidence = export.run(make_subject(folder), shapes=[])
    assert "ONNX is not part of this certificate" in str(evidence.remarks)


def test_a_port_that_cannot_be_saved_fails(folder: Path) -> None:
    checks = export.run(make_subject(folder, port="tests.parity.certify.unsaveable:build"), shapes=["any shape"]).checks
    (check,) = checks
    assert not check
    assert "save" in check.name
    assert "exit code 1" in check.detail
