"""A port that registers its layers in another order than it calls them in."""

from __future__ import annotations

import json

import pytest

from parity import command
from parity.engine.follow import Follower
from parity.errors import ParityInputError
from parity.networks import user
from parity.options import Options
from tests.cli.run import call

REFERENCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        y = self.coarse(nn.functional.avg_pool2d(x, 2))
        return self.last(self.fine(x) + nn.functional.interpolate(y, scale_factor=2, mode="nearest"))

def build():
    torch.manual_seed(0)
    return Net()
"""
PORT = """
from paddle import nn

class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.parts = nn.LayerList([nn.Conv2D(3, 4, 1), nn.Conv2D(3, 4, 1)])
        self.last = nn.Conv2D(4, 2, 1)

    def forward(self, x):
        y = self.parts[0](nn.functional.avg_pool2d(x, 2))
        return self.last(self.parts[1](x) {sign} nn.functional.interpolate(y, scale_factor=2, mode="nearest"))

def build():
    return Net()
"""


@pytest.mark.parametrize(("sign", "passed"), [("+", True), ("-", False)])
def test_the_order_of_calls_pairs_what_registration_does_not(tmp_path, monkeypatch, sign, passed):
    """By registration, each part is given the other's picture, and the sum of both fails in Paddle."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_reference.py").write_text(REFERENCE)
    (tmp_path / "my_port.py").write_text(PORT.format(sign=sign))
    files = ("--reference", "my_reference.py:build", "--port", "my_port.py:build")
    result = call("ccnet-parity", *files, "--input-size", "8,6", "--json")
    assert result.returncode == (0 if passed else 1), result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report["pairs"]["fine"] == "parts.1"
    assert {guilty["path"] for guilty in report["guilty"]} == (set() if passed else {""})


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_reference.py").write_text(REFERENCE)
    (tmp_path / "my_port.py").write_text(PORT.format(sign="+"))
    return Options(reference="my_reference.py:build", port="my_port.py:build", input_size=(8, 6))


def test_where_no_pairing_fits_the_mapping_is_asked_for(options, monkeypatch):
    monkeypatch.setattr(command, "_find_alternative", lambda *arguments: None)
    with pytest.raises(ParityInputError, match=r"runs, but not where its layers are given .*my_port\.py:12"):
        command.run(options)


def test_our_own_fault_is_not_the_pairings(options, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("ours")

    monkeypatch.setattr(Follower, "_judge", fail)
    monkeypatch.setattr(user, "_is_ours", lambda frame: frame.name == "fail")
    with pytest.raises(RuntimeError, match=r"^ours$"):
        command.run(options)
