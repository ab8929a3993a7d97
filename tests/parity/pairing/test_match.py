"""Whose weights a port has: given ones are never replaced, fresh ones are, and the report says so first."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from models_paddle import paddle
from parity.command import run
from parity.engine.harness import compare_models
from parity.networks.modules import paddle_modules, torch_modules
from parity.networks.port import build_port, load_port
from parity.options import Options
from parity.pairing.match import compare_weights, match_port
from parity.pairing.propose import pair_modules
from parity.reports.tables import print_report
from twins.build import build_torch
from twins.standin import make_state_dict, save_state_dict
from twins.weights import read_source

SPEC = "tests.parity.loading_ports:"
SIZE = (33, 41)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "official.pth"
    save_state_dict(path, make_state_dict("official", depth=18))
    return path


@pytest.fixture(scope="module")
def weights(source):
    return read_source(source, family=None)


@pytest.fixture(scope="module")
def reference(weights):
    return build_torch(weights, recurrence=2, device="cpu")


@pytest.fixture(scope="module")
def state(reference):
    """Of the renamed port with the source's weights."""
    port = load_port(f"{SPEC}build")
    match_port(reference, port, None)
    return {name: tensor.numpy() for name, tensor in port.state_dict().items()}


def compare(source, port="build", **settings):
    return run(Options(source=source, port=SPEC + port, input_size=SIZE, dtype="float64", **settings))


def printed(report):
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=200))
    return [line for line in stream.getvalue().splitlines() if line.strip()]


def save(path, state):
    paddle.save(dict(state), str(path))
    return path


def test_a_fresh_port_is_given_the_weights_and_the_report_says_so_first(source):
    report = compare(source)
    assert report, report.summary
    assert report.weights["copied"]
    assert printed(report)[0] == "the port came without weights: it was given the reference's, by the pairing"


def test_right_weights_of_a_file_are_compared(source, state, tmp_path):
    report = compare(source, port_weights=save(tmp_path / "right.pdparams", state))
    assert report, report.summary
    assert not report.weights["copied"]
    assert "came without weights" not in "".join(printed(report))


def test_a_file_of_fresh_weights_is_a_failure_and_not_replaced(source, tmp_path):
    fresh = {name: tensor.numpy() for name, tensor in load_port(f"{SPEC}build").state_dict().items()}
    report = compare(source, port_weights=save(tmp_path / "fresh.pdparams", fresh))
    assert not report
    assert not report.weights["copied"]
    (problem,) = report.problems
    count = len(report.weights["different"])
    assert count > 100
    assert problem.startswith(f"{count} weights differ from the source's after conversion: backbone.stem.0.conv.weight")


def test_one_wrong_tensor_of_a_file_is_named(source, state, tmp_path):
    wrong = {**state, "conv_out.conv.weight": state["conv_out.conv.weight"] * np.float32(1.0001)}
    report = compare(source, port_weights=save(tmp_path / "wrong.pdparams", wrong))
    assert report.weights["different"] == ["head.refine.conv.weight"]
    assert report.problems == ("1 weight differs from the source's after conversion: head.refine.conv.weight",)
    assert [one.path for one in report.guilty] == ["head.refine.conv"]


@pytest.mark.parametrize("port", ["build_loaded", "build_partly_loaded"])
def test_a_port_that_loads_its_own_weights_is_never_given_others(source, port):
    report = compare(source, port)
    assert not report
    assert not report.weights["copied"]
    assert "weights differ from the source's" in report.problems[0]


def test_loading_is_noticed_while_the_port_is_built_alone():
    assert build_port(f"{SPEC}build_loaded").came_loaded
    port = build_port(f"{SPEC}build")
    assert not port.came_loaded
    port.layer.set_state_dict(port.layer.state_dict())
    assert not port.came_loaded


def test_a_port_of_signed_scales_is_given_the_sources_own(source, weights, reference):
    port = load_port(f"{SPEC}build_signed")
    _, summary = match_port(reference, port, None, scales=weights.source_scales())
    assert summary["copied"]
    assert summary["operations"] == {"unfold": len(weights.source_scales())}
    norm = port.conv_out.norm
    own = make_state_dict("official", depth=18)["head.convb.1.weight"]
    assert np.array_equal(norm.weight.numpy(), own)
    assert (own < 0).any()
    report = compare(source, "build_signed")
    assert report, report.summary


def test_a_file_of_signed_scales_is_compared_with_the_sources(source, weights, reference, tmp_path):
    port = load_port(f"{SPEC}build_signed")
    match_port(reference, port, None, scales=weights.source_scales())
    state = {name: tensor.numpy() for name, tensor in port.state_dict().items()}
    report = compare(source, "build_signed", port_weights=save(tmp_path / "signed.pdparams", state))
    assert report, report.summary
    state["conv_out.norm.weight"] = state["conv_out.norm.weight"] + np.float32(1e-3)
    report = compare(source, "build_signed", port_weights=save(tmp_path / "signed.pdparams", state))
    assert report.weights["different"] == ["head.refine.norm.weight"]
    assert [one.path for one in report.guilty] == ["head.refine.norm"]


def test_a_port_that_forgets_the_epsilon_of_its_signed_scales(source):
    report = compare(source, "build_without_epsilon")
    assert {one.path.rpartition(".")[2] for one in report.guilty} == {"norm"}
    assert len({one.path for one in report.guilty}) == report.weights["operations"]["unfold"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_port_in_half_precision_has_rounded_weights(dtype):
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(7, 4))
    theirs = paddle.nn.Sequential(paddle.nn.Conv2D(3, 8, 3), paddle.nn.Linear(7, 4))
    theirs.to(dtype=dtype)
    _, summary = match_port(ours, theirs, None)
    assert summary["copied"]
    assert not summary["different"]
    rounded = ours[1].weight.detach().to(getattr(torch, dtype)).float().numpy()
    assert np.array_equal(theirs[1].weight.astype("float32").numpy(), rounded.T)
    theirs[1].weight.set_value(theirs[1].weight * 1.01)
    _, summary = match_port(ours, theirs, None)
    assert not summary["copied"]
    assert summary["different"] == ["1.weight"]


def test_a_tensor_that_nobody_paired_is_not_among_the_equal():
    """The port has no counterpart of the second layer."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    theirs = paddle.nn.Sequential(paddle.nn.Linear(4, 4), paddle.nn.ReLU())
    _, summary = match_port(ours, theirs, None)
    assert summary["alone"] == ["1.weight", "1.bias"]
    assert summary["tensors"] == 2


def test_what_is_constant_tells_nothing():
    """Fresh statistics agree with fresh ones, and are in neither list."""
    ours, theirs = nn.Sequential(nn.BatchNorm2d(4)), paddle.nn.Sequential(paddle.nn.BatchNorm2D(4))
    modules = torch_modules(ours), paddle_modules(theirs)
    found = compare_weights(*modules, pair_modules(*modules))
    assert not found.equal
    assert not found.different
    assert len(found.matches) == 4


class TorchTable(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))

    def forward(self, x):
        return self.second(torch.relu(self.first(x - self.mean)))


class PaddleTable(paddle.nn.Layer):
    """The same, its layers registered the other way round and named otherwise."""

    def __init__(self):
        super().__init__()
        self.late, self.early = paddle.nn.Conv2D(3, 3, 1), paddle.nn.Conv2D(3, 3, 1)
        self.register_buffer("mean", paddle.to_tensor([0.4, 0.5, 0.6]).reshape([1, 3, 1, 1]))

    def forward(self, x):
        return self.late(paddle.nn.functional.relu(self.early(x - self.mean)))


def test_a_table_that_both_make_for_themselves_is_no_weight():
    summary = match_port(TorchTable(), PaddleTable(), None)[1]
    assert summary["copied"]
    port = PaddleTable()
    reference = TorchTable()
    port.late.weight.set_value(reference.first.weight.detach().numpy())
    assert not match_port(reference, port, None)[1]["copied"]


def test_what_a_mapping_does_not_name_is_proposed():
    pairing, _ = match_port(TorchTable(), PaddleTable(), {"first": "early"})
    assert pairing.pairs == {"": "", "first": "early", "second": "late"}
    assert pairing.origin == "mapping, the rest by proposal"
    assert pairing.uncovered == ()


class Places(nn.Module):
    """A convolution, and a table of positions that no file has."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.register_buffer("table", torch.sin(torch.arange(4.0)).reshape(1, 4, 1, 1), persistent=False)

    def forward(self, images):
        return self.conv(images) + self.table


class PaddlePlaces(paddle.nn.Layer):
    def __init__(self, function, persistable=False):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 1)
        table = function(np.arange(4.0)).astype("float32").reshape(1, 4, 1, 1)
        self.register_buffer("places", paddle.to_tensor(table), persistable=persistable)

    def forward(self, images):
        return self.conv(images) + self.places


@pytest.mark.parametrize(
    ("port", "passes"),
    [
        (lambda: PaddlePlaces(np.sin), True),
        (lambda: PaddlePlaces(lambda places: np.sin(places) * (1 + 1e-6)), True),  # rounded otherwise
        (lambda: PaddlePlaces(np.cos), False),
        (lambda: PaddlePlaces(np.zeros_like, persistable=True), True),  # which a file fills
    ],
    ids=["equal", "rounded", "wrong", "in the file"],
)
def test_a_table_that_no_file_has_is_the_ports_own(port, passes):
    reference, layer = Places(), port()
    pairing, weights = match_port(reference, layer, None)
    assert weights["copied"]
    images = np.random.default_rng(0).random((1, 3, 5, 5))
    report = compare_models(reference, layer, images, pairs=pairing, weights=weights)
    assert bool(report) == passes, report.summary
    if not passes:
        assert any("1 weight differs" in problem and "table" in problem for problem in report.problems), report.problems
