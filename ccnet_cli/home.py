"""A home folder for libraries that make one where there is none: Paddle and PaddleSeg would put it into a folder `~` of
the working directory, or fail."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from ccnet_cli.interruption import INTERRUPTION


def settle_home() -> None:
    """Unless there is a home that can be written to, give this process one that goes when it ends."""
    home = os.path.expanduser("~")  # noqa: PTH111 - `Path.home` raises for a user without a name
    if Path(home).is_dir() and os.access(home, os.W_OK | os.X_OK) and home != "~":
        return
    os.environ["HOME"] = made = tempfile.mkdtemp(prefix="ccnet-parity-home-")
    remove = partial(shutil.rmtree, made, ignore_errors=True)
    atexit.register(remove)
    INTERRUPTION.removals.append(remove)  # which ends a process without that
