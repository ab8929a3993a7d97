"""Whatever a training script put around the state dict, its tensors come out under the network's own keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converter import read_checkpoint
from tests.converter.checkpoints import refusal

State = dict[str, Any]
WEIGHT, BIAS = torch.arange(6.0).reshape(2, 3), torch.ones(2)
STATE: State = {"conv1.weight": WEIGHT, "bn1.bias": BIAS}


def prefixed(state: State) -> State:
    return {f"module.{key}": value for key, value in state.items()}


OPTIMIZER = {
    "state": {0: {"momentum_buffer": WEIGHT / 2}, 1: {"momentum_buffer": None}},
    "param_groups": [{"lr": 0.01, "betas": (0.9, 0.99), "nesterov": False, "foreach": None, "params": [0, 1]}],
}


WRAPPED: dict[str, tuple[Callable[[], State], tuple[str, ...]]] = {
    "bare": (lambda: STATE, ()),
    "ordered": (lambda: OrderedDict(STATE), ()),
    "model": (lambda: {"model": STATE}, ("model",)),
    "state_dict": (lambda: {"state_dict": STATE}, ("state_dict",)),
    "prefix": (lambda: prefixed(STATE), ("module.",)),
    "model, prefix": (lambda: {"model": prefixed(STATE)}, ("model", "module.")),
    "state_dict, prefix": (lambda: {"state_dict": OrderedDict(prefixed(STATE))}, ("state_dict", "module.")),
    "nested": (lambda: {"model": {"state_dict": STATE}}, ("model", "state_dict")),
    "nested, prefix": (lambda: {"state_dict": {"model": prefixed(STATE)}}, ("state_dict", "model", "module.")),
    "epoch": (lambda: {"epoch": 60, "best": 0.79, "model": STATE}, ("model",)),
    "meta": (lambda: {"meta": {"iter": 80000, "classes": ["road", ["car"]]}, "state_dict": STATE}, ("state_dict",)),
    "optimizer": (lambda: {"state_dict": prefixed(STATE), "optimizer": OPTIMIZER}, ("state_dict", "module.")),
    "architecture's name": (lambda: {"model": "ccnet", "state_dict": STATE}, ("state_dict",)),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_are_taken_off(tmp_path: Path, name: str, zipped: bool) -> None:
    make, expected = WRAPPED[name]
    path = tmp_path / "wrapped.pth"
    torch.save(make(), path, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert (checkpoint.format, checkpoint.path) == ("pth", path)
    assert checkpoint.wrappers == expected
    assert checkpoint.collisions == ()
    assert list(checkpoint.tensors) == list(STATE)
    np.testing.assert_array_equal(checkpoint.tensors["conv1.weight"], WEIGHT.numpy())


def test_a_prefix_of_some_keys_only(tmp_path: Path) -> None:
    path = tmp_path / "mixed.pth"
    torch.save({"module.conv1.weight": WEIGHT, "conv1.weight": WEIGHT + 1, "module.bn1.bias": BIAS}, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.collisions == ("conv1.weight",)
    assert checkpoint.wrappers == ("module.",)


NO_STATE_DICT: dict[str, tuple[Any, str]] = {
    "a tensor": (WEIGHT, "holds no state dict"),
    "a list": ([WEIGHT], "holds no state dict"),
    "nothing": (None, "holds no state dict"),
    "no entries": ({}, "holds no state dict"),
    "an empty wrapper": ({"state_dict": {}}, "holds no state dict"),
    "numbers": ({"epoch": 3, "loss": 0.5}, "holds no state dict"),
    "two wrappers": (
        {"model": STATE, "state_dict": prefixed(STATE)},
        "several sets of weights: model (2 tensors), state_dict (2 tensors); choose one with --weights-entry NAME",
    ),
    "a key of two lines": ({**STATE, "a\nb": WEIGHT}, r"key 'a\nb'"),
    "a key that is no string": ({**STATE, 5: WEIGHT}, "key"),
}


@pytest.mark.parametrize("name", NO_STATE_DICT)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, name: str) -> None:
    value, expected = NO_STATE_DICT[name]
    path = tmp_path / "odd.pth"
    torch.save(value, path)
    assert expected in refusal(path)
