"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from converter.errors import InputError


@contextmanager
def staged(*targets: Path) -> Iterator[list[Path]]:
    """Temporary paths beside `targets`, moved into place together when the block succeeds.

    On any exception, an interruption included, they are removed and the targets stay as they were.
    Raises InputError when the file system refuses (missing folder, permission, no space left).
    """
    token = f".{os.getpid()}-{secrets.token_hex(4)}.tmp"
    paths = [target.with_name(target.name + token) for target in targets]
    with ExitStack() as stack:
        for path in paths:
            stack.callback(path.unlink, missing_ok=True)
        try:
            yield paths
            for path in paths:
                _sync(path)
            _replace_together(dict(zip(paths, targets, strict=True)))
            _sync(targets[0].parent)
        except OSError as error:
            raise InputError(f"{targets[0]}: cannot write: {_explain(error)}; nothing was changed") from error


def check_writable(target: Path, *, force: bool) -> None:
    """Raise InputError unless `target` can be created, or replaced if `force`."""
    try:
        problem = _find_problem(target, force=force)
    except OSError as error:
        problem = f"cannot write: {_explain(error)}"
    if problem:
        raise InputError(f"{target}: {problem}")


def _find_problem(target: Path, *, force: bool) -> str | None:
    folder = target.parent
    if target.is_dir():
        return "is a directory; name a file"
    if target.exists() and not force:
        return "exists; pass --force to replace it"
    if not folder.is_dir():
        return f"the folder {folder} does not exist; create it first"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} is not writable"
    return None


def _replace_together(targets: Mapping[Path, Path]) -> None:
    """Rename every path to its target; if one is refused, those before it become what they were."""
    with ExitStack() as formers, ExitStack() as undo:
        for path, target in targets.items():
            former = path.with_suffix(".former")
            if target.exists():
                formers.callback(former.unlink, missing_ok=True)
                _keep(target, former)
                undo.callback(former.replace, target)
            else:
                undo.callback(target.unlink, missing_ok=True)
            path.replace(target)
        undo.pop_all()


def _keep(target: Path, former: Path) -> None:
    try:
        former.hardlink_to(target)
    except OSError:  # a file system without hard links
        shutil.copy2(target, former)


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
