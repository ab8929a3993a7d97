"""`assert_same`: silent for the same function, and for another an error that says what, where and whose."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import parity
from models_paddle import paddle
from parity import assert_same
from parity.errors import ParityInputError
from parity.testing.same import has_constant_vectors
from tests.parity.testing.networks import PaddleLinear, PaddleNet, TorchLinear, TorchNet

IMAGES = np.random.default_rng(0).standard_normal((2, 3, 9, 7))
NETWORKS = "tests.parity.testing.networks"


def loaded(port: Any, reference: torch.nn.Module, factor: float = 1.0) -> Any:
    """The port with the reference's weights under equal names, times `factor`."""
    names = {"running_mean": "_mean", "running_var": "_variance"}
    state = {}
    for name, tensor in reference.state_dict().items():
        path, _, leaf = name.rpartition(".")
        array = tensor.numpy()
        if leaf != "num_batches_tracked":
            state[f"{path}.{names.get(leaf, leaf)}"] = factor * (array.T if array.ndim == 2 else array)
    port.set_state_dict(state)
    return port


def test_it_is_public():
    assert parity.assert_same is assert_same


@pytest.mark.parametrize(
    "inputs",
    [IMAGES, [IMAGES], {"x": IMAGES}, torch.from_numpy(IMAGES), paddle.to_tensor(IMAGES), None],
    ids=["array", "list", "dictionary", "torch", "paddle", "default"],
)
def test_a_fresh_port_is_given_the_weights_and_agrees(inputs):
    report = assert_same(TorchNet(), PaddleNet(), inputs)
    assert report
    assert report.weights["copied"] is True


def test_a_loaded_port_agrees():
    reference = TorchNet()
    report = assert_same(reference, loaded(PaddleNet(), reference), IMAGES)
    assert report.weights["copied"] is False


def test_names_of_functions():
    assert assert_same(f"{NETWORKS}:build", f"{NETWORKS}:build_port", IMAGES).settings["port"]
    with pytest.raises(AssertionError, match=r"Guilty: bn: "):
        assert_same(f"{NETWORKS}:build", f"{NETWORKS}:build_wrong_port", IMAGES)


def test_the_message_is_read_from_top_to_bottom():
    with pytest.raises(AssertionError) as caught:
        assert_same(TorchNet(), PaddleNet(padding=1, epsilon=1e-3), IMAGES, only=["bn"], dtype="float64")
    lines = str(caught.value).splitlines()
    assert lines[0] == "Networks are not the same! One layer is itself wrong: bn"
    assert re.fullmatch(r"Mismatched elements: \d+ / 280 \(\d+\.\d%\)", lines[2])
    pattern = r"Greatest absolute difference: 0\.\d+ at index \(\d, \d, \d, \d\) \(up to \d\.\d+e-1\d allowed\)"
    assert re.fullmatch(pattern, lines[3]), lines[3]
    assert re.fullmatch(r"Greatest relative difference: 0\.00\d+ of the RMS \(up to 1e-10 allowed\)", lines[4])
    assert lines[5] == "Where: output of bn, isolated, float64, input inputs"
    assert lines[7].startswith("Guilty: bn: ")


def test_the_figures_are_those_of_the_tensors():
    """Held to what plain torch and Paddle say of the same layer."""
    reference, port = TorchNet().double().eval(), PaddleNet(epsilon=1e-3)
    images = IMAGES.astype(np.float32)
    with torch.no_grad():
        features = reference.conv(torch.from_numpy(images).double())
        expected = reference.bn(features).numpy()
    actual = features.numpy() / np.sqrt(1 + 1e-3)
    with pytest.raises(AssertionError) as caught:
        assert_same(TorchNet(), port, images, dtype="float64")
    found = re.search(r"difference: (\S+) at index \(([\d, ]+)\)", str(caught.value))
    assert found is not None
    difference = np.abs(actual - expected)
    assert float(found[1]) == pytest.approx(difference.max(), rel=1e-2)
    assert tuple(map(int, found[2].split(","))) == np.unravel_index(difference.argmax(), difference.shape)


def test_float32_alone_says_how_far_from_the_truth():
    class Halved(PaddleNet):
        def forward(self, x: Any) -> Any:
            features = self.conv(x)
            rounded = features.astype("float16").astype(x.dtype) if str(x.dtype).endswith("32") else features
            return self.last(paddle.nn.functional.relu(self.bn(rounded)))

    with pytest.raises(AssertionError, match=r"times the reference's own \(up to 16 allowed\)"):
        assert_same(TorchNet(), Halved(), IMAGES)


@pytest.mark.parametrize("factor", [1.5, -1.0])
def test_weights_that_were_given_are_never_replaced(factor):
    """All of them wrong: a copy would hide it."""
    reference = TorchNet()
    with pytest.raises(AssertionError, match=r"weights? differs?"):
        assert_same(reference, loaded(PaddleNet(), reference, factor), IMAGES)
    with pytest.raises(AssertionError, match=r"weights? differs?"):
        assert_same(TorchLinear(), loaded(PaddleLinear(), TorchLinear(), factor), np.ones((2, 5)))


def test_a_port_of_which_nothing_tells_whether_it_is_fresh_is_left_and_the_way_out_is_said():
    inputs = IMAGES[0, 0, :5, :5]
    with pytest.raises(AssertionError, match=r"Hint: none of the weights is.*copy_weights=True"):
        assert_same(TorchLinear(), PaddleLinear(), inputs)
    assert assert_same(TorchLinear(), PaddleLinear(), inputs, copy_weights=True)


def test_a_fresh_port_is_left_where_asked():
    with pytest.raises(AssertionError, match=r"weights? differs?"):
        assert_same(TorchNet(), PaddleNet(), IMAGES, copy_weights=False)


def test_what_is_not_compared_is_a_problem_unless_accepted():
    class Scaled(PaddleNet):
        def __init__(self) -> None:
            super().__init__()
            self.scale = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(1.0))

        def forward(self, x: Any) -> Any:
            return super().forward(x) * self.scale

    with pytest.raises(AssertionError, match=r"Problem: .*scale"):
        assert_same(TorchNet(), Scaled(), IMAGES)
    assert assert_same(TorchNet(), Scaled(), IMAGES, accept=["scale"])


def test_weights_from_files(tmp_path):
    reference = TorchNet()
    torch.nn.init.normal_(reference.bn.weight)
    torch.save(reference.state_dict(), tmp_path / "net.pth")
    paddle.save(loaded(PaddleNet(), reference).state_dict(), str(tmp_path / "net.pdparams"))
    files = {"reference_weights": tmp_path / "net.pth", "port_weights": str(tmp_path / "net.pdparams")}
    assert assert_same(TorchNet(), PaddleNet(), IMAGES, **files).weights["copied"] is False


def test_pages_are_kept_whatever_the_verdict(tmp_path):
    assert_same(TorchNet(), PaddleNet(), IMAGES, report=tmp_path / "good")
    with pytest.raises(AssertionError, match=r"Page: .*bad.report\.html"):
        assert_same(TorchNet(), PaddleNet(epsilon=1e-3), IMAGES, report=tmp_path / "bad")
    assert (tmp_path / "good" / "report.html").is_file()
    assert (tmp_path / "bad" / "report.json").is_file()


@pytest.mark.parametrize(
    ("reference", "port", "inputs", "said"),
    [
        (PaddleNet, TorchNet, IMAGES, "reference is a PaddleNet, not a torch.nn.Module"),
        (TorchNet, TorchNet, IMAGES, "port is a TorchNet, not a paddle.nn.Layer"),
        (TorchNet, PaddleNet, ["images"], "not arrays of numbers"),
        (TorchNet, PaddleNet, [], "gives nothing"),
    ],
)
def test_arguments_that_allow_no_comparison(reference, port, inputs, said):
    with pytest.raises(ParityInputError, match=said):
        assert_same(reference(), port(), inputs)


def test_what_tells_that_a_port_is_fresh():
    from parity.networks.modules import paddle_modules

    assert has_constant_vectors(paddle_modules(PaddleNet()))
    assert not has_constant_vectors(paddle_modules(PaddleLinear()))
    assert not has_constant_vectors(paddle_modules(loaded(PaddleNet(), TorchNet())))
