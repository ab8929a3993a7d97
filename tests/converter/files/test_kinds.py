"""A file is read for what it is, whatever its name; what is no checkpoint is said to be that, with a way on."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import torch

from converter import read_checkpoint
from tests.converter.checkpoints import assert_same_tensors, refusal

WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}


def save_torch(path: Path) -> Path:
    torch.save({name: torch.from_numpy(array) for name, array in WEIGHTS.items()}, path)
    return path


def save_paddle(path: Path) -> Path:
    paddle.save({name: paddle.to_tensor(array) for name, array in WEIGHTS.items()}, str(path))
    return path


def save_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(save_torch(path.with_name("within.pth")), "within.pth")


def save_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(save_torch(path.with_name("within.pth")), "folder/within.pth")


def save_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **WEIGHTS)


def save_packed(pack: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(pack(save_torch(path).read_bytes())) and None


def cut(path: Path) -> None:
    path.write_bytes(save_torch(path).read_bytes()[:700])


def save_text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


KINDS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "HTML": (
        save_text("\n<!DOCTYPE html><html><head><title>Virus scan warning</title>"),
        ("an HTML or XML page (Virus scan warning)", "download it again"),
    ),
    "XML": (save_text('<?xml version="1.0"?><Error><Code>AccessDenied</Code>'), ("an HTML or XML page",)),
    "LFS": (
        save_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("a Git LFS pointer", "git lfs pull"),
    ),
    "JSON": (save_text('{"error": "Repository not found"}'), ("JSON", "download it again")),
    "text": (save_text("Entry not found"), ("text (Entry not found…)",)),
    "gzip": (save_packed(gzip.compress), ("compressed by gzip", "unpack it")),
    "bzip2": (save_packed(bz2.compress), ("compressed by bzip2", "unpack it")),
    "xz": (save_packed(lzma.compress), ("compressed by xz", "unpack it")),
    "tar": (save_tar, ("a tar archive", "unpack it")),
    "zip": (save_zip, ("a zip archive that holds folder/within.pth", "unpack it")),
    "npz": (save_npz, ("a NumPy archive",)),
    "npy": (lambda path: np.save(path.open("wb"), np.ones(3)), ("one NumPy array",)),
    "zeros": (lambda path: path.write_bytes(bytes(9999)), ("nothing but zeros", "download it again")),
    "TorchScript": (
        lambda path: torch.jit.script(torch.nn.Linear(2, 2)).save(str(path)),
        ("a TorchScript archive", "torch.jit.load"),
    ),
    "truncated": (cut, ("truncated or damaged zip archive", "download or copy it again")),
    "truncated Paddle": (
        lambda path: path.write_bytes(save_paddle(path).read_bytes()[:150]),
        ("it ends too early", "download or copy it again"),
    ),
}


@pytest.mark.parametrize("ending", [".pth", ".pdparams"])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_checkpoint_is_said_to_be_that(tmp_path: Path, name: str, ending: str) -> None:
    write, words = KINDS[name]
    path = tmp_path / f"x{ending}"
    write(path)
    message = refusal(path)
    for word in words:
        assert word in message


def test_a_truncated_safetensors_file(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "x.safetensors"
    save_file(WEIGHTS, path)
    whole = path.read_bytes()
    for length in (40, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "it ends too early: download or copy it again" in refusal(path)


def test_names_do_not_matter(tmp_path: Path) -> None:
    for path in (save_torch(tmp_path / "torch.pdparams"), save_paddle(tmp_path / "paddle.pth")):
        assert_same_tensors(read_checkpoint(path).tensors, WEIGHTS)
    torch.save({"w": torch.ones(1)}, tmp_path / "legacy.pdparams", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "legacy.pdparams").format == "pth"


def test_averaged_weights_of_paddle(tmp_path: Path) -> None:
    assert_same_tensors(read_checkpoint(save_paddle(tmp_path / "x.pdema")).tensors, WEIGHTS)


@pytest.mark.parametrize("protocol", [2, 4])
def test_nested_paddle_files(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pdparams"
    state = {name: paddle.to_tensor(array) for name, array in WEIGHTS.items()}
    paddle.save({"model": state, "epoch": 3, "best": [0.5]}, str(path), protocol=protocol)
    checkpoint = read_checkpoint(path)
    assert checkpoint.wrappers == ("model",)
    assert_same_tensors(checkpoint.tensors, WEIGHTS)


@pytest.mark.parametrize("optimiser", ["Momentum", "Adam", "AdamW", "SGD"])
def test_an_optimisers_state(tmp_path: Path, optimiser: str) -> None:
    layer = paddle.nn.Linear(3, 4)
    rate = paddle.optimizer.lr.StepDecay(0.1, 3)
    steps = getattr(paddle.optimizer, optimiser)(rate, parameters=layer.parameters())
    layer(paddle.ones([2, 3])).sum().backward()
    steps.step()
    path = tmp_path / "x.pdopt"
    paddle.save(steps.state_dict(), str(path))
    message = refusal(path)
    assert "is the state of an optimiser" in message
    assert "give the .pdparams" in message


def test_an_exported_model(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(3, 4)
    spec = [paddle.static.InputSpec([1, 3])]
    paddle.jit.save(paddle.jit.to_static(layer, input_spec=spec, full_graph=True), str(tmp_path / "model"))
    assert "(.pdiparams), which stand there without names; give the .pdparams" in refusal(tmp_path / "model.pdiparams")
    shutil.copy(tmp_path / "model.pdiparams", tmp_path / "renamed.pdparams")
    assert "(.pdiparams)" in refusal(tmp_path / "renamed.pdparams")
    for path in (*tmp_path.glob("model.json"), *tmp_path.glob("model.pdmodel")):
        assert "an exported network, not its weights" in refusal(path)
