"""Files that are damaged or no checkpoints: one line that names the file, whatever is wrong with it."""

from __future__ import annotations

import os
import pickle
import random
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from converter import read_checkpoint
from tests.converter.checkpoints import read_or_refuse, refusal
from tests.converter.pickles import document, mapping, tensor, value, write_zip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "damaged.pth"


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def honest(request: pytest.FixtureRequest, path: Path) -> bytes:
    """A small checkpoint as torch saves it."""
    state = {"module.a": torch.arange(6.0).reshape(2, 3).t(), "module.b": torch.ones((), dtype=torch.bfloat16)}
    torch.save({"state_dict": state, "epoch": 3}, path, _use_new_zipfile_serialization=request.param)
    return path.read_bytes()


NO_CHECKPOINTS = {
    "empty": (b"", "is empty"),
    "text": (b"conv1.weight: 3\n", "not a checkpoint"),
    "one byte": (b"\x80", "not a readable pickle"),
    "JSON": (b'{"conv1.weight": [0.5, 0.25]}', "not a checkpoint"),
    "HTML": (b"<!DOCTYPE html>\n<html>", "not a checkpoint"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a checkpoint"),
    "gzip": (b"\x1f\x8b\x08" + bytes(64), "not a checkpoint"),
    "zip header alone": (b"PK\x03\x04", "truncated or damaged zip archive"),
    "end of a zip alone": (b"PK\x05\x06" + bytes(18), "not a checkpoint"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "not a checkpoint"),
    "another pickle": (pickle.dumps([1, 2]), "holds no state dict (a dictionary of tensors), only a list"),
}


@pytest.mark.parametrize("name", NO_CHECKPOINTS)
def test_what_is_no_checkpoint(path: Path, name: str) -> None:
    content, expected = NO_CHECKPOINTS[name]
    path.write_bytes(content)
    assert expected in refusal(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    for name, expected in {
        "": "is a directory",
        "missing.pth": "cannot read: No such file",
        "pipe.pth": "not a regular file",
        "loop.pth": "cannot read",
        "n" * 300 + ".pth": "cannot read: File name too long",
    }.items():
        assert expected in refusal(tmp_path / name)


def test_random_bytes(path: Path) -> None:
    generator = random.Random(0)
    for start in (b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04", struct.pack("<Q", 20) + b"{"):
        for _ in range(60):
            path.write_bytes(start + generator.randbytes(generator.randrange(1, 200)))
            refusal(path)


def test_every_truncation_is_refused(path: Path, honest: bytes) -> None:
    for length in range(0, len(honest), 3):
        path.write_bytes(honest[:length])
        refusal(path)


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_flipped_bytes_are_read_or_refused(path: Path, honest: bytes, flip: int) -> None:
    for position in range(len(honest)):
        path.write_bytes(honest[:position] + bytes([honest[position] ^ flip]) + honest[position + 1 :])
        read_or_refuse(path)


def test_bytes_exchanged_at_random_are_read_or_refused(path: Path, honest: bytes) -> None:
    generator = random.Random(0)
    for _ in range(1000):
        damaged = bytearray(honest)
        for _ in range(generator.randrange(1, 6)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        read_or_refuse(path)


def rewrite(path: Path, *, leave_out: str = "", **changed: bytes) -> Path:
    """The archive without an entry, or with another content in one."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            entry = name.partition("/")[2]
            if entry != leave_out:
                archive.writestr(name, changed.get(entry, content))
    return path


@pytest.mark.parametrize(
    ("leave_out", "changed", "expected"),
    [
        ("data.pkl", {}, "not one that torch.save wrote (no data.pkl)"),
        ("data/0", {}, "storage 0 has 0 bytes, its tensors need 16"),
        ("", {"data/0": bytes(15)}, "storage 0 has 15 bytes, its tensors need 16"),
        ("", {"byteorder": b"big"}, "big-endian"),
        ("", {"data.pkl": b""}, "not a readable pickle"),
        ("", {"data.pkl": document(value(3))}, "holds no state dict"),
    ],
)
def test_archives(path: Path, leave_out: str, changed: dict[str, bytes], expected: str) -> None:
    write_zip(path, mapping({"w": tensor()}))
    assert expected in refusal(rewrite(path, leave_out=leave_out, **changed))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_compression(path: Path, compression: int) -> None:
    whole = write_zip(path, mapping({"w": tensor()}), compression=compression).read_bytes()
    assert read_checkpoint(path).tensors["w"].tolist() == [[1, 2], [3, 4]]
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        read_or_refuse(path)
