"""A port without weights whose layers stand in another order is tried with them exchanged before it is accused."""

from __future__ import annotations

import json

import pytest
from torch import nn

from models_paddle import paddle
from parity.networks.modules import paddle_modules, torch_modules
from parity.pairing.alternatives import MOST, list_alternatives
from parity.pairing.propose import pair_modules
from tests.cli.run import call

REFERENCE = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x):
        query, key, value = (part(x).flatten(2) for part in (self.first, self.second, self.third))
        weights = torch.softmax(query.transpose(1, 2) @ key, 2)
        return (value @ weights.transpose(1, 2)).reshape(x.shape)

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Attention())
"""
PORT = """
import paddle
from paddle import nn

class Attention(nn.Layer):
    def __init__(self):
        super().__init__()
        self.phi, self.theta, self.g = nn.Conv2D(8, 2, 1), nn.Conv2D(8, 2, 1), nn.Conv2D(8, 8, 1)

    def forward(self, x):
        query, key, value = (part(x).flatten(2) for part in (self.theta, self.phi, self.g))
        weights = paddle.nn.functional.softmax(query.transpose([0, 2, 1]) @ key * {scale}, 2)
        return (value @ weights.transpose([0, 2, 1])).reshape(x.shape)

def build():
    return nn.Sequential(nn.Conv2D(3, 8, 3), nn.ReLU(), Attention())
"""


@pytest.mark.parametrize(("scale", "passed"), [("1", True), ("0.5", False)], ids=["right", "wrong"])
def test_a_key_registered_before_its_query(tmp_path, monkeypatch, scale, passed):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_reference.py").write_text(REFERENCE)
    (tmp_path / "my_port.py").write_text(PORT.format(scale=scale))
    files = ("--reference", "my_reference.py:build", "--port", "my_port.py:build")
    result = call("ccnet-parity", *files, "--input-size", "11,9", "--json")
    assert result.returncode == (0 if passed else 1), result.stdout + result.stderr
    report = json.loads(result.stdout)
    if passed:
        assert report["pairs"]["2.first"] == "2.theta"
        assert report["coverage"]["origin"] == "proposal, in the order of calls"
    else:
        assert {guilty["path"] for guilty in report["guilty"]} == {"2"}


STRIDED = """
from {framework} import nn

class Net(nn.{module}):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.{conv}(3, 4, 3), nn.{conv}(4, 4, 3, stride=2)
        self.left, self.right = nn.{norm}(4), nn.{norm}(4)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.left(self.one(x)), {slope})
        n, c, h, w = (wide := self.two(x)).shape
        return self.right(wide).reshape({shape})

def build():
    return Net()
"""


def test_a_port_that_cannot_run_with_its_layers_exchanged_is_accused_all_the_same(tmp_path, monkeypatch):
    """The norms have one shape, and get pictures of two sizes: exchanged, the port's own code raises."""
    monkeypatch.chdir(tmp_path)
    torchs = {
        "framework": "torch",
        "module": "Module",
        "conv": "Conv2d",
        "norm": "BatchNorm2d",
        "slope": 0.1,
        "shape": "n, c * h, w",
    }
    paddles = {"framework": "paddle", "module": "Layer", "conv": "Conv2D", "norm": "BatchNorm2D", "slope": 0.2}
    (tmp_path / "strided_reference.py").write_text(STRIDED.format(**torchs))
    (tmp_path / "strided_port.py").write_text(STRIDED.format(**paddles, shape="[n, c * h, w]"))
    files = ("--reference", "strided_reference.py:build", "--port", "strided_port.py:build")
    result = call("ccnet-parity", *files, "--input-size", "11,9", "--json")
    assert result.returncode == 1, result.stderr
    assert {guilty["path"] for guilty in json.loads(result.stdout)["guilty"]} == {""}


def test_only_near_what_is_accused_and_not_without_end():
    reference = nn.Sequential(*(nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3))) for _ in range(2)))
    port = paddle.nn.Sequential(
        *(paddle.nn.Sequential(*(paddle.nn.Conv2D(3, 3, 1) for _ in range(3))) for _ in range(2))
    )
    ours, theirs = torch_modules(reference), paddle_modules(port)
    pairing = pair_modules(ours, theirs)
    assert list(list_alternatives(ours, theirs, pairing, [])) == []
    found = list(list_alternatives(ours, theirs, pairing, ["1"]))
    assert len(found) == MOST
    assert all(one.pairs["0.0"] == "0.0" and one.pairs != pairing.pairs for one in found)
