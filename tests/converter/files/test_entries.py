"""The state dict is found under any name and however nested; where there are several, a rule or the user chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converter import InputError, Reading, read_checkpoint
from tests.converter.checkpoints import make_tensors, refusal

State = dict[str, Any]
WEIGHT = torch.arange(6.0).reshape(2, 3)
STATE: State = {"w": WEIGHT, "b": torch.ones(2)}
OTHER: State = {"w": -WEIGHT, "b": torch.zeros(2), "c": torch.zeros(1)}
OPTIMISER = {"state": {0: {"exp_avg": WEIGHT}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
NETWORK: State = {key: torch.from_numpy(np.array(array)) for key, array in make_tensors().items()}


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


ONLY: dict[str, tuple[Any, tuple[str, ...]]] = {
    "net": ({"net": STATE}, ("net",)),
    "model_state_dict": ({"model_state_dict": STATE, "optimizer_state_dict": OPTIMISER}, ("model_state_dict",)),
    "module": ({"module": STATE, "epoch": 3}, ("module",)),
    "nested twice": ({"checkpoint": {"weights": STATE}}, ("checkpoint", "weights")),
    "nested thrice": ({"a": {"b": {"c": STATE}}}, ("a", "b", "c")),
    "in a list": ({"models": [STATE]}, ("models", "0")),
    "in a tuple": ((3, STATE), ("1",)),
    "averaged alone": ({"ema": STATE, "epoch": 3}, ("ema",)),
}


@pytest.mark.parametrize("name", ONLY)
def test_the_only_dictionary_of_tensors(tmp_path: Path, name: str) -> None:
    content, wrappers = ONLY[name]
    checkpoint = read_checkpoint(save(tmp_path / "x.pth", content))
    assert checkpoint.wrappers == wrappers
    assert checkpoint.notes == ()
    np.testing.assert_array_equal(checkpoint.tensors["w"], WEIGHT.numpy())


SEVERAL: dict[str, tuple[Any, str, str]] = {
    "state_dict and its average": (
        {"state_dict": STATE, "state_dict_ema": OTHER},
        "state_dict",
        "the only one that is no running average",
    ),
    "net and its average": ({"ema_net": OTHER, "net": STATE}, "net", "no running average"),
    "nested averages": ({"model": {"state_dict": STATE, "ema": OTHER}}, "model.state_dict", "no running average"),
    "a usual name": ({"model": STATE, "extra": OTHER}, "model", "called state_dict or model"),
    "a usual name further out": ({"head": {"model": OTHER}, "model": STATE}, "model", "called state_dict or model"),
    "the file itself": ({**STATE, "extra": OTHER}, ".", "what the file holds itself"),
    "a network beside a usual name": (
        {"state_dict": OTHER, "x": NETWORK},
        "x",
        "the only one with a CCNet's keys",
    ),
    "a network": ({"x": NETWORK, "y": OTHER}, "x", "the only one with a CCNet's keys"),
    "a network in a wrapper": (
        {"x": OTHER, "y": {f"module.{key}": value for key, value in NETWORK.items()}},
        "y",
        "the only one with a CCNet's keys",
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_are_listed_and_the_rule_is_said(tmp_path: Path, name: str) -> None:
    content, taken, rule = SEVERAL[name]
    checkpoint = read_checkpoint(save(tmp_path / "x.pth", content))
    (note,) = checkpoint.notes
    assert f"taken: {taken} (" in note
    assert rule in note
    assert "--weights-entry" in note
    for name, count in checkpoint.sets.items():
        assert f"{name} ({count} tensor" in note
    assert len(checkpoint.sets) == 2


def test_the_user_chooses(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", {"state_dict": STATE, "state_dict_ema": OTHER, "deep": {"er": OTHER}})
    for entry in ("state_dict", "state_dict_ema", "deep.er", "deep"):
        checkpoint = read_checkpoint(path, Reading(entry=entry))
        expected = STATE if entry == "state_dict" else OTHER
        np.testing.assert_array_equal(checkpoint.tensors["w"], expected["w"].numpy())
        assert "--weights-entry" in checkpoint.notes[0]


def test_an_entry_that_is_not_there(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", {"state_dict": STATE, "deep": {"a": STATE, "b": OTHER}})
    for entry, words in {
        "model": "is no set of weights in it; there are state_dict (2 tensors), deep.a (2 tensors), deep.b (3 tensors)",
        "deep": "has several below it; there are deep.a (2 tensors), deep.b (3 tensors)",
    }.items():
        with pytest.raises(InputError, match=r"--weights-entry") as caught:
            read_checkpoint(path, Reading(entry=entry))
        assert words in str(caught.value)


def test_one_set_under_two_names(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save(tmp_path / "x.pth", {"last": STATE, "best": STATE}))
    assert checkpoint.wrappers == ("last",)
    assert "the same under each name" in checkpoint.notes[0]


NONE: dict[str, tuple[Any, str]] = {
    "two of no usual name": ({"a": STATE, "b": OTHER}, "a (2 tensors), b (3 tensors); choose one with --weights-entry"),
    "both usual names": ({"model": STATE, "state_dict": OTHER}, "choose one with --weights-entry"),
    "an optimiser's": (OPTIMISER, "is the state of an optimiser"),
    "numbers": ({"epoch": 3, "loss": [0.5]}, "only epoch (a int), loss (a list)"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_cannot_be_told_is_refused_with_a_way_on(tmp_path: Path, name: str) -> None:
    content, words = NONE[name]
    assert words in refusal(save(tmp_path / "x.pth", content))
