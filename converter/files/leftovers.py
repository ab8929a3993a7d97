"""Names of temporary files: whose they are, which target's, and which of them dead processes left behind."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from functools import cache
from pathlib import Path

TEMPORARY, FORMER, NOTE = ".tmp", ".former", ".moves"
"""Endings: of a file that is being written, of one that is being replaced, and of the note of moves."""
LONGEST_NAME = 255
"""Bytes of a file's name, on every file system in use."""
LARGEST_NOTE = 1 << 16
PATTERN = re.compile(
    r"\.(?P<host>[0-9a-f]{8})-(?P<process>\d{1,9})-[0-9a-f]{8}(?P<ending>\.moves|(\.moves)?\.tmp|\.former)$"
)


def make_token() -> str:
    """What this process puts into the names of the temporary files of one set of targets."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def name_beside(target: Path, token: str, ending: str) -> Path:
    """`out.bin` -> `out.bin.TOKEN.tmp`; a long name is cut, so that the file system takes it."""
    name, suffix = target.name, f".{token}{ending}"
    if len(os.fsencode(name)) + len(suffix) + len(FORMER) > LONGEST_NAME:
        name = f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return target.with_name(name + suffix)


def take_leftovers(folder: Path) -> tuple[list[Path], list[Path]]:
    """Notes, and other temporary files, in `folder` of processes of this machine that are no more.

    Those of processes that had noted moves are none: the moves come first.
    """
    notes, files = list[Path](), list[Path]()
    with os.scandir(folder) as entries:
        for entry in entries:
            found = PATTERN.search(entry.name)
            if found and found["host"] == _host() and _is_dead(int(found["process"])):
                (notes if found["ending"] == NOTE else files).append(Path(entry.path))
    return notes, files


def read_note(path: Path) -> tuple[list[str], bool]:
    """The targets' names in a note, and whether they may be replaced. None of what is no note of ours."""
    if not path.is_file() or path.stat().st_size > LARGEST_NOTE:
        return [], False
    replace, *names = map(os.fsdecode, path.read_bytes().split(b"\0"))
    return [name for name in names if name and name == Path(name).name], replace == "1"


def write_note(path: Path, targets: list[str], *, replace: bool) -> None:
    """Write what `read_note` reads."""
    path.write_bytes(b"\0".join(map(os.fsencode, (str(int(replace)), *targets))))


@cache
def _host() -> str:
    """The machine and, in a container, its own numbering of processes."""
    try:
        numbering = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        numbering = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbering}".encode()).hexdigest()[:8]


def _is_dead(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
