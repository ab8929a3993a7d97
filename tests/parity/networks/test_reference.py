"""A torch network of the user's own as the reference: the official one, others', files for it, and every option."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models_torch
from converter import convert_tensors
from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.errors import ParityInputError
from parity.networks.inputs import make_images
from parity.networks.reference import load_reference, load_reference_weights
from parity.pairing.match import match_port
from tests.cli.run import assert_one_line_error, call
from tests.parity import foreign_references, official_port, official_reference
from tests.parity.small_twins import INPUTS, sublayer
from twins.standin import make_state_dict, save_state_dict

ROOT = Path(__file__).parents[3]
SPEC, PORT, OTHERS = (
    "tests.parity.official_reference:",
    "tests.parity.official_port:",
    "tests.parity.foreign_references:",
)
SMALL = ("--input-size", "33,41")
EXACT = ("--dtype", "float64", *SMALL)
TWIN_LIMIT = 1e-13
"""Of the greatest value, in float64: two orders of one sum."""


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return make_state_dict("official", depth=18)


@pytest.fixture(scope="module")
def official(tmp_path_factory, state) -> Path:
    path = tmp_path_factory.mktemp("source") / "official.pth"
    save_state_dict(path, state)
    return path


def make_pair(state: dict[str, Any], recurrence: int) -> tuple[Any, Any]:
    """The official network and our torch twin of it, both in float64, with the same weights."""
    reference = official_reference.ResNet(recurrence).double()
    reference.load_state_dict({name: torch.from_numpy(state[name]) for name in reference.state_dict()})
    size = {"num_classes": 19, "recurrence": recurrence, "depth": 18}
    twin = models_torch.build_uninitialised("official", **size).double()
    models_torch.load_weights(twin, convert_tensors(state, "official", dtype="float64"))
    return reference, twin


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    assert actual.shape == expected.shape
    return float((actual - expected).detach().abs().max() / expected.detach().abs().max())


@pytest.mark.parametrize("recurrence", [0, 1, 2, 3])
def test_our_torch_twin_is_the_official_network(state, recurrence):
    reference, twin = (network.eval() for network in make_pair(state, recurrence))
    for size in ((33, 49), (40, 24)):
        images = torch.from_numpy(make_images(size, seed=0))
        with torch.no_grad():
            for actual, expected in zip(twin(images), reference(images.clone()), strict=True):
                assert relative(actual, expected) < TWIN_LIMIT


def test_our_torch_twin_trains_as_the_official_network(state):
    """Outputs, gradients and running statistics, with batch statistics; no dropout, whose draws nobody shares."""
    pair, found = make_pair(state, 2), []
    for network in pair:
        for module in network.train().modules():
            if isinstance(module, torch.nn.Dropout2d):
                module.p = 0.0
        images = torch.from_numpy(make_images((33, 49), seed=0)).requires_grad_()
        outputs = network(images * 1)
        sum((output**2).mean() for output in outputs).backward()
        found.append((*outputs, images.grad))
    reference, twin = pair
    for actual, expected in zip(found[1], found[0], strict=True):
        assert relative(actual, expected) < 1e-9
    ours, theirs = (network.state_dict() for network in (twin, reference))
    for name, own in {"backbone.stage4.1.expand.norm": "layer4.1.bn3", "head.fuse.norm": "head.bottleneck.1"}.items():
        for buffer in ("running_mean", "running_var"):
            assert relative(ours[f"{name}.{buffer}"], theirs[f"{own}.{buffer}"]) < 1e-9
    assert relative(twin.head.refine.conv.weight.grad, reference.head.convb[0].weight.grad) < 1e-9


@pytest.mark.parametrize("form", ["plain", "module", "wrapped"])
def test_a_file_is_loaded_whatever_is_wrapped_around_it(tmp_path, state, form):
    path, reference = tmp_path / "official.pth", official_reference.build()
    save_wrapped(path, state, form)
    load_reference_weights(reference, path)
    assert all(np.array_equal(tensor.numpy(), state[name]) for name, tensor in reference.state_dict().items())


def save_wrapped(path: Path, state: dict[str, Any], form: str) -> None:
    prefix = "" if form == "plain" else "module."
    tensors = {prefix + name: torch.from_numpy(array) for name, array in state.items()}
    torch.save({"state_dict": tensors, "epoch": 3} if form == "wrapped" else tensors, path)


def test_paddle_twin_against_the_official_network_with_a_file(tmp_path, state):
    path = tmp_path / "official.pth"
    save_wrapped(path, state, "wrapped")
    result = call("ccnet-parity", path, "--reference", SPEC + "build", *EXACT, "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert not report["guilty"]
    assert not report["coverage"]["uncovered"]
    assert {"layer3.1.conv2", "head.cca", "head.bottleneck.0", "dsn.3"} <= set(report["coverage"]["paired"])
    assert report["coverage"]["uninfluential"] == ["head.cca.key_conv.bias"]


@pytest.mark.parametrize("build", ["build_loaded", "build_decimal"])
def test_port_against_a_reference_with_the_weights_it_has(build):
    """In both precisions; a slope and an epsilon may be what `float` or what Python makes of the decimal."""
    result = call("ccnet-parity", "--reference", SPEC + build, "--port", PORT + "build", *SMALL)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "it was given the reference's, by the pairing" in result.stdout


def test_reference_and_port_need_no_family():
    """Neither network is a CCNet, and nothing is said of one."""
    specs = ("--reference", OTHERS + "build_resnet", "--port", OTHERS + "build_resnet_port")
    result = call("ccnet-parity", *specs, *EXACT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "paired by path" in result.stdout
    assert "recurrence" not in result.stdout


def test_mmsegmentations_own_network_against_the_twin(tmp_path):
    path = tmp_path / "mmseg.pth"
    save_state_dict(path, make_state_dict("mmseg", depth=18))
    result = call("ccnet-parity", path, "--reference", OTHERS + "build_mmseg", *EXACT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_mmsegmentations_own_network_against_a_port():
    """Its outputs are a dictionary, the port's a tuple; its ReLUs and its sums overwrite."""
    result = call("ccnet-parity", "--reference", OTHERS + "build_mmseg", "--port", OTHERS + "build_mmseg_port", *EXACT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_reference_is_left_as_it_was():
    reference, port = foreign_references.build_mmseg().train(), foreign_references.build_mmseg_port()
    before = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    pairing, _ = match_port(reference, port, None)
    assert compare_models(reference, port, INPUTS["odd"], pairs=pairing)
    assert reference.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in reference.state_dict().items())


def once(port: Any) -> None:
    port.head.recurrence = 1


def other_dilation(port: Any) -> None:
    layer = port.layer4[0].conv2
    layer._dilation, layer._updated_padding, layer._padding = [2, 2], [2, 2], 2


def other_epsilon(port: Any) -> None:
    port.layer3[1].bn2._epsilon = 1.1e-5


def swapped(port: Any) -> None:
    forward, cca = port.head.bottleneck.forward, port.head.cca

    def other(x: Any) -> Any:
        width = cca.value_conv.weight.shape[0]
        return forward(paddle.concat([x[:, -width:], x[:, :-width]], 1))

    port.head.bottleneck.forward = other


def no_scale(port: Any) -> None:
    cca = port.head.cca

    def forward(x: Any) -> Any:
        return official_port.attend(cca.query_conv(x), cca.key_conv(x), cca.value_conv(x), cca.softmax) + x

    cca.forward = forward


@pytest.mark.parametrize(
    ("mistake", "guilty"),
    [
        (once, ["head"]),
        (other_dilation, ["layer4.0.conv2"]),
        (other_epsilon, ["layer3.1.bn2"]),
        (swapped, ["head.bottleneck"]),
        (no_scale, ["head.cca"]),
    ],
)
def test_mistake_of_a_port_is_pinned_against_the_official_network(mistake: Callable[[Any], None], guilty):
    reference, port = official_reference.build_loaded(), official_port.build()
    pairing, _ = match_port(reference, port, None)
    mistake(port)
    report = compare_models(reference, port, INPUTS["odd"], pairs=pairing, mode="isolated", dtypes=["float64"])
    assert not report
    assert list(dict.fromkeys(one.path for one in report.guilty)) == guilty


@pytest.mark.parametrize(
    ("reference", "port", "guilty"),
    [
        ("build_mmseg", "build_mmseg_wrong", ["backbone.layer3.0.conv2", "backbone.layer4.0.conv2"]),
        ("build_resnet", "build_resnet_wrong", ["layer3.0.conv1", "layer3.0.conv2"]),
    ],
)
def test_mistake_of_a_port_is_pinned_against_others_networks(reference, port, guilty):
    result = call("ccnet-parity", "--reference", OTHERS + reference, "--port", OTHERS + port, *EXACT, "--json")
    assert result.returncode == 1, result.stderr
    assert [one["path"] for one in json.loads(result.stdout)["guilty"]] == guilty


@pytest.fixture
def wrong(tmp_path) -> str:
    """A file with a port of which one layer has another epsilon."""
    path = tmp_path / "epsilon.py"
    path.write_text(
        "from tests.parity.official_port import Network\n\n\ndef build():\n    port = Network()\n"
        "    port.layer4[0].bn2._epsilon = 1.1e-5\n    return port\n"
    )
    return f"{path}:build"


def test_bisect_stops_at_the_guilty_layer(official, wrong):
    result = call(
        "ccnet-parity", official, "--reference", SPEC + "build", "--port", wrong, "--bisect", *SMALL, "--json"
    )
    assert result.returncode == 1, result.stderr
    report = json.loads(result.stdout)
    assert report["first_divergence"] == {"path": "layer4.0.bn2", "call": 0, "mode": "isolated", "dtype": "float64"}
    assert not any(layer["path"].startswith("head") for layer in report["layers"])


def test_dump_has_the_reference_and_the_port(official, wrong, tmp_path):
    dump = tmp_path / "dump"
    specs = ("--reference", SPEC + "build", "--port", wrong)
    assert call("ccnet-parity", official, *specs, "--dump", dump, *EXACT).returncode == 1
    result = call("ccnet-parity", "compare", dump / "paddle", dump / "torch", "--json")
    assert result.returncode == 1, result.stderr
    assert json.loads(result.stdout)["first_divergence"]["path"] == "layer4.0.bn2"
    entries = json.loads((dump / "torch" / "index.json").read_text())
    assert "layer4.0.bn2" in {entry["path"] for entry in entries}


def test_report_names_the_reference(official, wrong, tmp_path):
    specs = ("--reference", SPEC + "build", "--port", wrong)
    result = call("ccnet-parity", official, *specs, "--report", tmp_path / "report", *EXACT)
    assert result.returncode == 1, result.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["reference"] == SPEC + "build"
    assert report["port"] == wrong
    assert "layer4.0.bn2" in (tmp_path / "report" / "report.html").read_text()


def test_exported_reproduction_builds_both(official, wrong, tmp_path):
    """Of a layer that overwrites its input, in a network that overwrites its output."""
    folder = tmp_path / "repro"
    source = (official, "--reference", SPEC + "build")
    result = call("ccnet-parity", *source, "--port", wrong, "--bisect", "--export-repro", folder, *SMALL)
    assert result.returncode == 1, result.stderr
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    script = [sys.executable, "repro.py"]
    ended = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    ours, theirs = (float(line.rpartition(" ")[2]) for line in ended.stdout.splitlines()[-2:])
    assert ours < 1e-12
    assert theirs > 1e-7


def misfit(state: dict[str, Any], how: str) -> dict[str, Any]:
    own = dict(state)
    if how == "missing":
        for number in (1, 2, 3):
            del own[f"layer1.0.conv{number}.weight"]
        del own["head.cca.gamma"]
    elif how == "unexpected":
        own["fc.weight"] = np.zeros(3, np.float32)
    elif how == "shape":
        own["dsn.3.bias"] = np.zeros(21, np.float32)
    elif how == "kind":
        own["bn1.running_var"] = np.ones(8, np.int64)
    return own


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", ["4 missing (", "layer1.0.conv1.weight", "… 1 more", "0 unexpected"]),
        ("unexpected", ["0 missing", "1 unexpected (fc.weight)"]),
        ("shape", ["1 of another shape (dsn.3.bias (21,) for (19,))"]),
        ("kind", ["1 of another kind of number (bn1.running_var int64)"]),
    ],
)
def test_file_that_does_not_fit_is_refused(tmp_path, state, how, words):
    path = tmp_path / "other.pth"
    save_state_dict(path, misfit(state, how))
    result = call("ccnet-parity", path, "--reference", SPEC + "build", "--port", PORT + "build", *EXACT)
    lists = ("missing", "unexpected", "of another shape", "of another kind of number", "nothing was loaded")
    assert_one_line_error(result, 2, "other.pth", "does not fit the reference", *lists, *words)


def test_nothing_is_loaded_of_a_file_that_does_not_fit(tmp_path, state):
    path, reference = tmp_path / "other.pth", official_reference.build()
    save_state_dict(path, misfit(state, "unexpected"))
    before = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    with pytest.raises(ParityInputError, match="nothing was loaded"):
        load_reference_weights(reference, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in reference.state_dict().items())


def test_counters_of_batches_may_be_missing(tmp_path):
    tensors = {k: v for k, v in make_state_dict("mmseg", depth=18).items() if not k.endswith("num_batches_tracked")}
    reference, path = foreign_references.build_mmseg(), tmp_path / "old.pth"
    save_state_dict(path, tensors)
    load_reference_weights(reference, path)
    assert np.array_equal(reference.state_dict()["backbone.stem.0.weight"].numpy(), tensors["backbone.stem.0.weight"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reference", "nonsense", "--port", PORT + "build"), ["--reference nonsense", "package.module:function"]),
        (("--reference", SPEC + "no_such", "--port", PORT + "build"), ["--reference", "AttributeError"]),
        (("--reference", PORT + "build", "--port", PORT + "build"), ["returned a Network, not a torch.nn.Module"]),
        (("--reference", SPEC + "build"), ["--port or --config", "SOURCE"]),
        (("--reference", "no/such.py:build", "--port", PORT + "build"), ["--reference", "no such file: no/such.py"]),
    ],
)
def test_unusable_references_are_one_line(arguments, words):
    assert_one_line_error(call("ccnet-parity", *arguments, *EXACT), 2, *words)


def test_what_the_reference_raises_names_it():
    specs = ("--reference", SPEC + "build_raising", "--port", PORT + "build")
    result = call("ccnet-parity", *specs, *EXACT)
    assert_one_line_error(result, 2, f"--reference {SPEC}build_raising: cannot run it", "official_reference.py:")


def test_compare_models_takes_any_reference():
    reference, port = load_reference(OTHERS + "build_resnet"), foreign_references.build_resnet_port()
    match_port(reference, port, None)
    report = compare_models(reference, port, INPUTS["odd"], dtypes=["float64"])
    assert report, report.summary
    weight = sublayer(port, "layer2.1.conv2").weight
    weight.set_value(weight * 1.0001)
    report = compare_models(reference, port, INPUTS["odd"], dtypes=["float64"])
    assert [one.path for one in report.guilty] == ["layer2.1.conv2"]


def test_layers_without_a_namesake_are_sought_inside_the_containers_that_have_one():
    """In one list of all layers, the longest common run would exchange the two classifiers."""
    result = call(
        "ccnet-parity", "--reference", SPEC + "build_loaded", "--port", PORT + "build_inline", "--input-size", "33,41"
    )
    assert result.returncode == 0, result.stdout


def test_a_dropout_is_no_activation_although_it_has_its_number():
    reference, port = official_reference.build_loaded(), official_port.build()
    pairing, _ = match_port(reference, port, None)
    port.head.bottleneck[2]._negative_slope = 0.02
    report = compare_models(reference, port, INPUTS["odd"], pairs=pairing, dtypes=["float64"])
    assert {one.path for one in report.guilty} <= {"head.bottleneck", "head.bottleneck.1"}
