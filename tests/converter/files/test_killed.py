"""Whatever step a process dies at, the files are all old or all new, and the next to look removes what it left."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from converter.errors import InputError
from converter.files import atomic, leftovers
from converter.files.atomic import (
    check_writable,
    make_folder,
    recover,
    remove_unfinished,
    staged,
    staged_folder,
    temporary_folder,
)

STEPS = [(Path, "replace"), (Path, "unlink"), (Path, "hardlink_to"), (Path, "chmod"), (os, "link"), (os, "fsync")]
NAMES = ("out.pdparams", "out.manifest.json")


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def write(folder: Path, content: str, *, replace: bool = True) -> None:
    with staged(*(folder / name for name in NAMES), replace=replace) as paths:
        for path in paths:
            path.write_text(content)


def fork(action: Callable[[], None]) -> int:
    """The child that does it, and exits with 0, or 2 for an InputError."""
    child = os.fork()
    if child:
        return child
    try:
        action()
    except InputError:
        os._exit(2)
    finally:
        os._exit(0)


def die_at(number: int) -> None:
    """Count the steps of this process, and kill it before the one of this number."""
    left = [number]

    def counting(step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **options)

        return counted

    for owner, name in STEPS:
        setattr(owner, name, counting(getattr(owner, name)))


@pytest.mark.parametrize("before", [{}, dict.fromkeys(NAMES, "old")], ids=["new", "replaced"])
def test_killed_at_any_step(before: dict[str, str], tmp_path: Path) -> None:
    seen = set()
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in before.items():
            (folder / name).write_text(content)

        def act(folder: Path = folder, number: int = number) -> None:
            die_at(number)
            write(folder, "new", replace=bool(before))

        _, status = os.waitpid(fork(act), 0)
        recover(folder)
        recover(folder)  # which finds nothing more
        assert contents(folder) in (before, dict.fromkeys(NAMES, "new")), number
        seen.add(len(set(contents(folder).values()) & {"new"}))
        if status == 0:
            break
    assert status == 0
    assert seen == {0, 1}


def write_folder(folder: Path, content: str) -> None:
    with staged_folder(folder) as path:
        for name in NAMES:
            (path / name).write_text(content)


@pytest.mark.parametrize("before", ["", "old"], ids=["new", "replaced"])
def test_a_folder_whose_process_is_killed_at_any_step(before: str, tmp_path: Path) -> None:
    seen = set()
    for number in range(100):
        place = tmp_path / str(number)
        place.mkdir()
        if before:
            write_folder(place / "folder", before)

        def act(place: Path = place, number: int = number) -> None:
            die_at(number)
            write_folder(place / "folder", "new")

        _, status = os.waitpid(fork(act), 0)
        recover(place)
        found = {path.name: contents(path) for path in place.iterdir()}
        assert found in (
            {"folder": dict.fromkeys(NAMES, "new")},
            {"folder": dict.fromkeys(NAMES, before)} if before else {},
        )
        seen.add(str(found))
        if status == 0:
            break
    assert status == 0
    assert len(seen) == 2


def test_folders_that_stayed_empty_go_with_what_was_not_finished(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for name in ("own/new/deep", "used/deep", "own"):
        make_folder(tmp_path / name)
    (tmp_path / "used" / "mine").touch()
    remove_unfinished()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "own", "used"]


def test_temporary_folders_go_without_unwinding_too() -> None:
    with temporary_folder() as folder:
        (folder / "deep").mkdir()
        remove_unfinished()
        assert not folder.exists()
        folder.mkdir()
    assert not folder.exists()


def test_of_two_at_once_one_wins(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        children = [fork(partial(write, folder, content, replace=False)) for content in "ab"]
        codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
        assert codes == [0, 2]
        assert contents(folder) in (dict.fromkeys(NAMES, "a"), dict.fromkeys(NAMES, "b"))


def test_a_pair_of_which_one_exists_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / NAMES[1]).write_text("another's")
    with pytest.raises(InputError, match=r"out\.manifest\.json: exists by now; pass --force"):
        write(tmp_path, "new", replace=False)
    assert contents(tmp_path) == {NAMES[1]: "another's"}


def test_files_of_living_processes_and_other_machines_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leftovers._host.cache_clear()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    child = fork(lambda: None)
    os.waitpid(child, 0)
    monkeypatch.setattr(os, "getpid", lambda: child)
    foreign = leftovers.name_beside(tmp_path / "a", leftovers.make_token(), ".tmp")
    monkeypatch.undo()
    leftovers._host.cache_clear()
    living = leftovers.name_beside(tmp_path / "a", leftovers.make_token(), ".tmp")
    others = [foreign, living, tmp_path / "a.0123abcd-1-0123abcd.tmp", tmp_path / "notes.tmp"]
    for path in others:
        path.touch()
    check_writable(tmp_path / "b", force=False)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_a_note_that_is_none_moves_nothing(tmp_path: Path) -> None:
    child = fork(lambda: None)
    os.waitpid(child, 0)
    token = leftovers.make_token().replace(f"-{os.getpid()}-", f"-{child}-")
    (tmp_path / "mine").write_text("mine")
    for number, content in enumerate([b"", b"1\0../mine\0mine", b"\xff" * 99, b"1\n\0\0", b"1" * 99999]):
        leftovers.name_beside(tmp_path / str(number), token, ".moves").write_bytes(content)
    recover(tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_long_names_are_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".json")
    with staged(target) as (path,):
        path.write_text("new")
    assert contents(tmp_path) == {target.name: "new"}


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_modes_are_the_umasks(mask: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o600)
    before = os.umask(mask)
    try:
        with staged(tmp_path / "a") as (path,):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_no_space_is_seen_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no space left on the device: \d+ MB are needed"):
        check_writable(tmp_path / "a", force=False, nbytes=1 << 60)


def test_what_is_unfinished_can_be_removed(tmp_path: Path) -> None:
    with staged(tmp_path / "a") as (path,):
        path.write_text("new")
        remove_unfinished()
        assert contents(tmp_path) == {}
        assert not atomic.UNFINISHED
        path.write_text("newer")
    assert contents(tmp_path) == {"a": "newer"}
