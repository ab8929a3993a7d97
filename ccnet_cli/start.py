"""Where the console scripts begin: with our names claimed, whatever the working directory and `PYTHONPATH` hold.

The one module that is found by `sys.path` alone, so its folder has a name that no project has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def convert() -> None:
    """`ccnet-convert`."""
    _command("convert")()


def evaluate() -> None:
    """`ccnet-eval`."""
    _command("evaluate")()


def parity() -> None:
    """`ccnet-parity`."""
    _command("parity_main")()


def seg() -> None:
    """`ccnet-seg`."""
    _command("seg_main")()


def _command(name: str) -> Callable[[], Any]:
    root = str(Path(__file__).resolve().parents[1])
    sys.path.insert(0, root)
    from twins import namespaces

    sys.path.remove(root)
    namespaces.claim()
    from ccnet_cli import main

    command: Callable[[], Any] = getattr(main, name)
    return command
