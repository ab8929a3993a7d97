"""Files that appear together and whole, or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from converter import InputError
from converter.files.atomic import check_writable, staged

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def targets(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "out.pdparams", tmp_path / "out.manifest.json"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("existing", [False, True])
def test_all_targets_appear_on_success(tmp_path: Path, targets: tuple[Path, Path], existing: bool) -> None:
    if existing:
        targets[0].write_bytes(b"old")
    with staged(*targets) as paths:
        for path, content in zip(paths, (b"weights", b"manifest"), strict=True):
            assert path.parent == tmp_path  # a rename across file systems would be a copy
            path.write_bytes(content)
        assert [target.exists() for target in targets] == [existing, False]
    assert contents(tmp_path) == {"out.pdparams": b"weights", "out.manifest.json": b"manifest"}


def write_and_raise(targets: tuple[Path, Path], error: type[BaseException]) -> None:
    with staged(*targets) as paths:
        for path in paths:
            path.write_bytes(b"new")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_changes_on_any_exception(
    tmp_path: Path, targets: tuple[Path, Path], error: type[BaseException]
) -> None:
    targets[0].write_bytes(b"old")
    with pytest.raises(error):
        write_and_raise(targets, error)
    assert contents(tmp_path) == {"out.pdparams": b"old"}


def test_a_file_that_was_not_written_is_an_error(tmp_path: Path, targets: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="cannot write"), staged(*targets) as paths:
        paths[0].write_bytes(b"weights")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("links", [False, True])
def test_a_refused_rename_takes_those_before_it_back(
    tmp_path: Path, targets: tuple[Path, Path], existing: bool, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    if existing:
        targets[0].write_bytes(b"old")
    targets[1].mkdir()
    with pytest.raises(InputError, match="nothing was changed"):
        write(targets)
    targets[1].rmdir()
    assert contents(tmp_path) == ({"out.pdparams": b"old"} if existing else {})


def write(targets: tuple[Path, Path]) -> None:
    with staged(*targets) as paths:
        for path in paths:
            path.write_bytes(b"new")


def refuse(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


REFUSED = {
    "existing.pdparams": "exists; pass --force",
    "folder": "is a directory; name a file",
    "missing/out.pdparams": "does not exist; create it first",
    "existing.pdparams/out.pdparams": "does not exist; create it first",
    "n" * 300: "cannot write: File name too long",
}


@pytest.mark.parametrize("name", REFUSED)
def test_targets_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "existing.pdparams").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError) as caught:
        check_writable(tmp_path / name, force=False)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert REFUSED[name] in str(caught.value)
    assert contents(tmp_path / "folder") == {}


def test_force_replaces_files_but_not_folders(tmp_path: Path) -> None:
    (tmp_path / "out.pdparams").write_bytes(b"old")
    check_writable(tmp_path / "out.pdparams", force=True)
    check_writable(tmp_path / "new.pdparams", force=False)
    with pytest.raises(InputError, match="is a directory"):
        check_writable(tmp_path, force=True)


READ_ONLY = """
import os, sys
from pathlib import Path
from converter import InputError
from converter.files.atomic import check_writable
if os.geteuid() == 0:
    os.setuid(65534)
try:
    check_writable(Path(sys.argv[1]), force=False)
except InputError as error:
    print(error)
"""


def test_read_only_folder() -> None:
    """In a process of its own, which gives up the rights that root has everywhere."""
    target = Path("/usr/out.pdparams")
    command = [sys.executable, "-c", READ_ONLY, str(target)]
    process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == f"{target}: the folder /usr is not writable"
