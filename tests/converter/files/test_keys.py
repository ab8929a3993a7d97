"""What stands before all keys is taken off, and what is no network's is left out; both are said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from converter import InputError, Reading, convert_file, read_checkpoint
from converter.files.keys import WRAPPERS, find_prefix
from converter.files.strangers import STRANGERS
from converter.origin import canonical_form
from converter.plan import expected_tensors
from families import FAMILIES
from tests.converter.checkpoints import make_tensors, save_pth, source_shapes

NETWORK = make_tensors()
PREFIXES = (
    "_orig_mod.",
    "model.",
    "module.module.",
    "_orig_mod.module.",
    "net.",
    "my.own_",
    "ccnet_",
    "a/b/",
    "backbone.",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_common_to_all_keys(tmp_path: Path, prefix: str) -> None:
    path = save_pth(tmp_path / "x.pth", {f"{prefix}{key}": array for key, array in NETWORK.items()})
    checkpoint = read_checkpoint(path)
    assert list(checkpoint.tensors) == list(NETWORK)
    assert "".join(checkpoint.wrappers) == prefix
    assert list(checkpoint.own) == [f"{prefix}{key}" for key in NETWORK]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_familys_own_keys_are_a_prefix(family: str) -> None:
    keys = list(source_shapes(family, depth=18))
    names = [name for _, name in _canonical(family)]
    backbone = [name for name in names if name.startswith("backbone.")]
    for whole in (keys, names, backbone, [key for key in keys if "layer1" in key] or keys):
        assert find_prefix(whole) == ""


def _canonical(family: str) -> list[tuple[str, str]]:
    assignments, _ = expected_tensors(canonical_form(FAMILIES[family]), depth=18, num_classes=19)
    return [(item.source, item.target) for item in assignments if item.target is not None]


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_a_wrappers_prefix_of_any_network(prefix: str) -> None:
    assert find_prefix([f"{prefix}w", f"{prefix}b"]) == prefix
    assert find_prefix([f"{prefix}w", "b"]) == ""


def test_keys_without_the_prefix_are_named(tmp_path: Path) -> None:
    state = {f"model.{key}": array for key, array in NETWORK.items()} | {"distill.w": np.ones(1, np.float32)}
    checkpoint = read_checkpoint(save_pth(tmp_path / "x.pth", state))
    assert set(checkpoint.tensors) == {*NETWORK, "distill.w"}
    assert checkpoint.wrappers == ("model.",)


def test_other_prefixes_of_unknown_networks_stay() -> None:
    assert find_prefix(["encoder.0.weight", "encoder.1.weight"]) == ""


def test_wrappers_of_parts(tmp_path: Path) -> None:
    renamed = {key.replace("head.", "head._orig_mod."): array for key, array in NETWORK.items()}
    checkpoint = read_checkpoint(save_pth(tmp_path / "x.pth", renamed))
    assert list(checkpoint.tensors) == list(NETWORK)
    assert checkpoint.wrappers == ("_orig_mod.",)


def test_a_ports_own_names(tmp_path: Path) -> None:
    """A port may call its own tensors `model.…`: its weights come by those names."""
    state = {"model.w": np.ones(2, np.float32), "model.b": np.ones(1, np.float32), "total_ops": np.zeros(1)}
    checkpoint = read_checkpoint(save_pth(tmp_path / "x.pth", state))
    assert list(checkpoint.tensors) == ["w", "b"]
    assert list(checkpoint.named_as(["w", "b"])) == ["w", "b"]
    assert list(checkpoint.named_as(["model.w", "model.b"])) == ["model.w", "model.b"]
    assert "total_ops" in checkpoint.named_as(["model.w", "model.b", "total_ops"])


@pytest.mark.parametrize("piece", ["module.", "a.", "."])
def test_keys_of_any_length_end_soon(tmp_path: Path, piece: str) -> None:
    for count in (100, 1_000_000):
        state = {f"{piece * count}{name}": np.ones(1, np.float32) for name in "abcdefgh"}
        path = save_pth(tmp_path / "x.pth", state)
        with pytest.raises(InputError) as caught:
            convert_file(path, tmp_path / "out.pdparams", load_check=lambda plan, tensors: None, family="official")
        assert len(str(caught.value)) < 10_000


STRANGE = {
    "ema_conv1_weight": "a running average of the weights",
    "model_ema.conv1.weight": "a running average of the weights",
    "data_preprocessor.mean": "the preprocessing's figures",
    "data_preprocessor.std": "the preprocessing's figures",
    "total_ops": "a profiler's counters",
    "layer1.0.conv1.total_params": "a profiler's counters",
    "criterion.weight": "a criterion's weights",
    "loss_fn.weight": "a criterion's weights",
    "n_averaged": "counters of a training",
    "metrics.confmat": "a metric's counts",
}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_known_strangers_are_left_out_and_named(tmp_path: Path, prefix: str) -> None:
    strangers = {f"{prefix}{key}": np.ones(3, np.float32) for key in STRANGE}
    state = {f"{prefix}{key}": array for key, array in NETWORK.items()}
    checkpoint = read_checkpoint(save_pth(tmp_path / "x.pth", {**state, **strangers}))
    assert list(checkpoint.tensors) == list(NETWORK)
    assert {text.rpartition(" (")[2].rstrip(")") for text in checkpoint.skipped} == set(STRANGE.values())
    assert "total_ops" in " ".join(checkpoint.skipped)


def test_no_networks_tensor_is_a_stranger() -> None:
    for family in FAMILIES:
        for key in source_shapes(family, depth=18):
            assert find_prefix([key, "x"]) == ""
    assert set(STRANGE.values()) < set(STRANGERS)


def test_an_average_alone_is_read(tmp_path: Path) -> None:
    state = {f"ema_model.module.{key}": array for key, array in NETWORK.items()} | {"step": np.ones(1)}
    checkpoint = read_checkpoint(save_pth(tmp_path / "x.pth", state))
    assert list(checkpoint.tensors) == list(NETWORK)
    assert checkpoint.skipped == ("step (counters of a training)",)


def test_what_the_user_ignores(tmp_path: Path) -> None:
    state = {**NETWORK, "distill.w": np.ones(1, np.float32), "distill.b": np.ones(1, np.float32)}
    path = save_pth(tmp_path / "x.pth", state)
    checkpoint = read_checkpoint(path, Reading(ignore=("distill.*",)))
    assert list(checkpoint.tensors) == list(NETWORK)
    assert checkpoint.skipped == ("distill.w, distill.b (--ignore)",)
    with pytest.raises(InputError, match=r"--ignore teach\.\* fits no key"):
        read_checkpoint(path, Reading(ignore=("distill.*", "teach.*")))
    with pytest.raises(InputError, match="--ignore leaves nothing"):
        read_checkpoint(path, Reading(ignore=("*",)))


def test_values_among_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"w": torch.ones(1), "epoch": 3, "names": ["a"]}, path)
    checkpoint = read_checkpoint(path)
    assert list(checkpoint.tensors) == ["w"]
    assert checkpoint.skipped == ("epoch (a int, not a tensor)", "names (a list, not a tensor)")
