"""Conversions that fail leave everything as it was: no half-written file, no other error than theirs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import ConverterError, InputError, Plan, convert, convert_file
from converter.plan import expected_tensors
from tests.converter.checkpoints import Array, load_into_twin, make_tensors, save_pth, without
from tests.converter.pickles import array, value

REPOSITORY = Path(__file__).parents[2]
PHASES = ("reading", "writing", "reading back", "checking names and shapes", "moving into place")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return save_pth(tmp_path / "in" / "source.pth", make_tensors())


@pytest.fixture(params=[False, True], ids=["new", "existing"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A target that is not there yet, or that is, with its manifest."""
    folder = tmp_path / "out"
    folder.mkdir()
    if request.param:
        (folder / "out.pdparams").write_bytes(b"weights of before")
        (folder / "out.manifest.json").write_bytes(b"manifest of before")
    return folder / "out.pdparams"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_fails_without_trace(
    source: Path, target: Path, error: type[BaseException], match: str = "", **options: Any
) -> str:
    before, weights = contents(target.parent), source.read_bytes()
    with pytest.raises(error, match=match) as caught:
        convert_file(source, target, **{"load_check": load_into_twin, "force": True, **options})
    assert contents(target.parent) == before
    assert source.read_bytes() == weights
    assert caught.type is error  # an InputError would blame the user
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_in_any_phase(source: Path, target: Path, phase: str, error: type[BaseException]) -> None:
    def interrupt(reached: str) -> None:
        if reached == phase:
            raise error

    assert_fails_without_trace(source, target, error, progress=interrupt)


def test_load_check_fails(source: Path, target: Path) -> None:
    def misfit(plan: Plan, written: dict[str, Array]) -> None:
        del written["head.attention.gamma"]
        load_into_twin(plan, written)

    assert_fails_without_trace(source, target, ValueError, r"missing \['head.attention.gamma'\]", load_check=misfit)


def test_nobody_waits_for_the_digest_of_what_is_refused(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(convert, "file_digest", lambda path, given_up: waited.append(given_up.wait(60)))
    source = target.with_name("huge.pth")
    source.write_bytes(b"no checkpoint")
    assert_fails_without_trace(source, target, InputError)
    assert waited == [True]


def staged_file(target: Path) -> Path:
    (path,) = target.parent.glob("out.pdparams.*")
    return path


def flip(position: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(position * (len(content) - 1))] ^= 0x10
        path.write_bytes(content)

    return damage


def replace(old: bytes, new: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return damage


def append(opcodes: bytes) -> Callable[[Path], None]:
    """Before the last opcode, STOP."""

    def damage(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-1] + opcodes + pickle.STOP)

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte of the data": (flip(0.5), "differs from the plan after reading back"),
    "a byte of the first tensor": (flip(0.0001), "differs from the plan after reading back"),
    "the last byte": (flip(1), "not a readable pickle"),
    "a name": (replace(b"stem.0.norm._mean", b"stem.0.norm._xean"), "norm._mean|norm.running_mean"),
    "a tensor too many": (append(value("extra") + array() + pickle.SETITEM), "read back with other tensors"),
    "a dtype": (replace(b"\x02\x00\x00\x00f4", b"\x02\x00\x00\x00i4"), "differs from the plan after reading back"),
    "the end": (lambda path: os.truncate(path, path.stat().st_size // 2), "not a readable pickle"),
    "everything": (lambda path: os.truncate(path, 0), "is empty"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_disk_that_does_not_keep_what_was_written(source: Path, target: Path, name: str) -> None:
    damage, expected = DAMAGES[name]

    def wreck(phase: str) -> None:
        if phase == "reading back":
            damage(staged_file(target))

    message = assert_fails_without_trace(source, target, ConverterError, expected, progress=wreck)
    assert message.startswith(f"{target}: ")


SOURCES: dict[str, tuple[Callable[[dict[str, Array]], dict[str, Array]], str]] = {
    "incomplete": (lambda tensors: without(tensors, ending="gamma"), "1 missing: head.cca.gamma"),
    "not finite": (lambda tensors: {**tensors, "bn1.bias": np.full(8, np.nan, np.float32)}, "1 not finite: bn1.bias"),
    "twice": (lambda tensors: {**tensors, "module.bn1.bias": tensors["bn1.bias"]}, "two keys for one target: bn1.bias"),
    "of no family": (lambda tensors: {"w": tensors["bn1.bias"]}, "cannot tell its family"),
    "both heads": (
        lambda tensors: {**tensors, "head.bottleneck.4.weight": tensors["head.bottleneck.3.weight"]},
        "1 unexpected: head.bottleneck.4.weight",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_that_are_refused(source: Path, target: Path, name: str) -> None:
    change, expected = SOURCES[name]
    save_pth(source, change(make_tensors()))
    message = assert_fails_without_trace(source, target, InputError, expected)
    assert message.startswith(f"{source}: ")


def test_sources_that_are_no_checkpoints(source: Path, target: Path) -> None:
    source.write_bytes(source.read_bytes()[:-100])
    assert_fails_without_trace(source, target, InputError, "truncated or damaged zip archive")
    source.write_bytes(b"")
    assert_fails_without_trace(source, target, InputError, "is empty")


TARGETS = {
    "out": "a checkpoint's name ends in .",
    "out.onnx": "a checkpoint's name ends in .",
    "existing.pdparams": "exists; pass --force",
    "described.pdparams": "described.manifest.json: exists; pass --force",
    "folder.pdparams": "is a directory",
    "missing/out.pdparams": "does not exist; create it first",
    "in/source.pth/out.pdparams": "does not exist; create it first",
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_targets_that_are_refused(source: Path, tmp_path: Path, name: str, dry_run: bool) -> None:
    (tmp_path / "existing.pdparams").write_bytes(b"before")
    (tmp_path / "described.manifest.json").write_bytes(b"before")
    (tmp_path / "folder.pdparams").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        convert_file(source, tmp_path / name, load_check=load_into_twin, dry_run=dry_run)
    assert TARGETS[name] in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "existing.pdparams").read_bytes() == b"before"


@pytest.mark.parametrize("link", [False, True])
def test_the_source_is_no_target(source: Path, tmp_path: Path, link: bool) -> None:
    path = tmp_path / "same.pdparams"
    if link:
        path.symlink_to(source)
    else:
        path.hardlink_to(source)
    with pytest.raises(InputError, match="is the source itself"):
        convert_file(source, path, load_check=load_into_twin, force=True)
    assert path.samefile(source)


def test_the_folder_vanishes(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "out.pdparams"
    target.parent.mkdir()

    def remove_folder(phase: str) -> None:
        if phase == "writing":
            target.parent.rmdir()

    with pytest.raises(InputError) as caught:
        convert_file(source, target, load_check=load_into_twin, progress=remove_folder)
    assert str(caught.value) == f"{target}: cannot write: No such file or directory; nothing was changed"


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
from converter import InputError, convert_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    convert_file(Path(sys.argv[1]), Path(sys.argv[2]), load_check=lambda plan, written: None, force=True)
except InputError as error:
    print(error)
"""


def test_no_room_for_the_target(source: Path, target: Path) -> None:
    """In a process of its own whose files may not grow beyond a limit."""
    before = contents(target.parent)
    for limit in (0, 1_000_000):
        command = [sys.executable, "-c", DISK_FULL, str(source), str(target), str(limit)]
        process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert process.stdout == f"{target}: cannot write: File too large; nothing was changed\n"
        assert contents(target.parent) == before


def test_another_structure_than_the_twins(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family whose table forgets a layer of the twin writes nothing, although file and plan agree."""

    def described(*arguments: Any, **size: Any) -> Any:
        assignments, shapes = expected_tensors(*arguments, **size)
        return assignments, {**shapes, "head.classifier.bias": (20,)}

    monkeypatch.setattr("converter.convert.expected_tensors", described)
    before = target.read_bytes() if target.exists() else None
    with pytest.raises(ConverterError, match="not the structure of the Paddle twin"):
        convert_file(source, target, force=True)
    assert (target.read_bytes() if target.exists() else None) == before
