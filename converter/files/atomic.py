"""Files that appear whole, and together, or not at all: whatever ends the process.

New files are written under temporary names beside their targets. Several are moved into place after a note of the moves
has its name, a single rename: until then a process that dies leaves the old files, from then on the next to look at the
folder (`recover`) ends the moves. What dead processes of this machine left behind is removed by the same.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from converter.errors import InputError
from converter.files.leftovers import (
    FORMER,
    NOTE,
    TEMPORARY,
    make_token,
    name_beside,
    read_note,
    take_leftovers,
    write_note,
)

Move = tuple[Path, Path]
"""A temporary file and its target."""

UNFINISHED: set[Path] = set()
"""Temporary files and folders of this process. Whoever ends it without unwinding calls `remove_unfinished`."""
MADE: list[Path] = []
"""Folders that this process made for its results, each before those in it."""


@contextmanager
def staged(*targets: Path, replace: bool = True) -> Iterator[list[Path]]:
    """Temporary paths beside `targets`, all of one folder, moved into place together when the block succeeds.

    On any exception, an interruption included, they are removed and the targets stay as they were; one that comes
    while they are moved is raised when they are. The new files have the mode that the umask gives. Raises InputError
    when the file system refuses (missing folder, permission, no space left) and, unless `replace`, if a target exists
    by then: of two processes one wins.

    with staged(Path("out.bin"), Path("out.json")) as (binary, text):
        binary.write_bytes(content)
    """
    folder, token = targets[0].parent, make_token()
    moves = [(name_beside(target, token, TEMPORARY), target) for target in targets]
    with ExitStack() as stack:
        try:
            recover(folder)
            mode = _probe(moves[0][0])
            for path, _ in moves:
                UNFINISHED.add(path)
                stack.callback(_discard, path)
            yield [path for path, _ in moves]
            for path, _ in moves:
                path.chmod(mode)
                _sync(path)
            _commit(moves, token, replace=replace)
            _sync(folder)
        except FileExistsError as error:
            raise InputError(f"{error.filename2 or targets[0]}: exists by now; pass --force to replace it") from error
        except OSError as error:
            raise InputError(f"{targets[0]}: cannot write: {_explain(error)}; nothing was changed") from error


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, which takes its place, as `staged` does it, when the block succeeds."""
    target, token = Path(os.path.realpath(target)), make_token()
    try:
        make_folder(target.parent)
        with scratch_folder(target, token) as path:
            yield path
            _commit([(path, target)], token, replace=True)
    except OSError as error:
        raise InputError(f"{target}: cannot write: {_explain(error)}; nothing was changed") from error


@contextmanager
def scratch_folder(target: Path, token: str = "") -> Iterator[Path]:
    """A new folder beside `target`, which is removed at the end, however the process ends."""
    recover(target.parent)
    path = name_beside(target, token or make_token(), TEMPORARY)
    UNFINISHED.add(path)
    try:
        path.mkdir()
        yield path
    finally:
        _discard(path)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder among the system's temporary ones, which is removed at the end; by `remove_unfinished` too."""
    with TemporaryDirectory() as name:
        UNFINISHED.add(Path(name))
        try:
            yield Path(name)
        finally:
            UNFINISHED.discard(Path(name))


def make_folder(folder: Path) -> None:
    """Make a folder for results, and its parents; `remove_unfinished` takes away which of them stayed empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    MADE.extend(reversed(missing))


def check_writable(target: Path, *, force: bool, nbytes: int = 0) -> None:
    """Raise InputError unless `target` can be created with `nbytes`, or replaced if `force`."""
    try:
        problem = _find_problem(target, force=force, nbytes=nbytes)
    except OSError as error:
        problem = f"cannot write: {_explain(error)}"
    if problem:
        raise InputError(f"{target}: {problem}")


def recover(folder: Path) -> None:
    """End the moves that a dead process had noted in `folder`, and remove what else it left there."""
    with suppress(OSError):
        notes, files = take_leftovers(folder)
        for note in notes:
            targets, replace = read_note(note)
            token = note.name.removesuffix(NOTE).rpartition(".")[2]
            moves = [(name_beside(folder / name, token, TEMPORARY), folder / name) for name in targets]
            with suppress(FileExistsError):
                _move(moves, replace=replace)
            _forget(moves, note)
        for path in files:
            _remove(path)


def remove_unfinished() -> None:
    """Remove every temporary file of this process, and the folders that it made and put nothing into."""
    for path in list(UNFINISHED):
        with suppress(OSError):
            _discard(path)
    while MADE:
        with suppress(OSError):
            MADE.pop().rmdir()


def leave_signals() -> None:
    """In a thread: leave signals to the main one, which may be about to import what handles them otherwise."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))


def _find_problem(target: Path, *, force: bool, nbytes: int) -> str | None:
    folder = target.parent
    if target.is_dir():
        return "is a directory; name a file"
    if not folder.is_dir():
        return f"the folder {folder} does not exist; create it first"
    recover(folder)
    if target.exists() and not target.is_file():
        return "is not a regular file; name another"
    if target.exists() and not force:
        return "exists; pass --force to replace it"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} is not writable"
    free = shutil.disk_usage(folder).free
    if nbytes > free:
        return f"no space left on the device: {nbytes / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free"
    return None


def _probe(path: Path) -> int:
    """The mode of a new file in this folder. Raises OSError if there can be none."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)
        path.unlink()


def _commit(moves: Sequence[Move], token: str, *, replace: bool) -> None:
    """Move every path to its target; if one is refused, those before it become what they were."""
    note = name_beside(moves[0][1], token, NOTE)
    if len(moves) > 1 or moves[0][1].is_dir():
        draft = name_beside(moves[0][1], token, f"{NOTE}{TEMPORARY}")
        with ExitStack() as stack:
            stack.callback(draft.unlink, missing_ok=True)
            write_note(draft, [target.name for _, target in moves], replace=replace)
            _sync(draft)
            draft.replace(note)
    try:
        _move(moves, replace=replace)
    except KeyboardInterrupt:
        _move(moves, replace=replace)
        raise
    finally:
        _forget(moves, note)


def _move(moves: Sequence[Move], *, replace: bool) -> None:
    """Make the moves that are not made yet. Raises OSError if one is refused; those of this call are then undone."""
    done: list[Move] = []
    try:
        for path, target in moves:
            if path.exists():
                (_replace if replace else _link)(path, target)
                done.append((path, target))
    except OSError:
        for path, target in reversed(done):
            former = path.with_suffix(FORMER)
            if former.exists():
                former.replace(target)
            else:
                target.unlink(missing_ok=True)
        raise


def _replace(path: Path, target: Path) -> None:
    former = path.with_suffix(FORMER)
    if path.is_dir() and target.is_dir():  # onto which no other can be moved
        target.replace(former)
    elif target.exists() and not former.exists():
        try:
            former.hardlink_to(target)
        except OSError:  # a file system without hard links
            shutil.copy2(target, former)
    with suppress(FileNotFoundError):  # another process has recovered it
        path.replace(target)


def _link(path: Path, target: Path) -> None:
    if target.exists() and target.samefile(path):  # done by a process that died then
        return
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(path), None, str(target)) from None
        shutil.copy2(path, target)


def _forget(moves: Sequence[Move], note: Path) -> None:
    note.unlink(missing_ok=True)
    for path, _ in moves:
        _remove(path.with_suffix(FORMER))
        _remove(path)


def _discard(path: Path) -> None:
    UNFINISHED.discard(path)
    _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no space left on the device"
    return error.strerror or str(error)
