"""Checkpoint files, written and read back by format."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from converter.files.pdparams import read_pdparams, write_pdparams
from converter.files.pth import read_pth
from converter.files.safetensors import read_safetensors

Array = np.ndarray[Any, Any]
Named = Iterable[tuple[str, Array]]

FORMATS = {".pth": "pth", ".pdparams": "pdparams", ".safetensors": "safetensors"}
"""By the ending of a file's name."""


def write_tensors(path: Path, format_name: str, tensors: Named) -> None:
    """Write `(name, array)` pairs to `path`. A `.pdparams` is streamed, the others are collected first."""
    _WRITERS[format_name](path, tensors)


def read_tensors(path: Path, format_name: str) -> dict[str, Array]:
    """What `write_tensors` wrote to `path`, whatever the file is called."""
    tensors: dict[str, Array] = _READERS[format_name](path)
    return tensors


def _write_pdparams(path: Path, tensors: Named) -> None:
    with path.open("wb") as file:
        write_pdparams(file, tensors)


def _write_pth(path: Path, tensors: Named) -> None:
    import torch

    with warnings.catch_warnings():  # that an array is a read-only view of a file, of which nothing is changed here
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        state = {name: torch.from_numpy(np.require(array, requirements="C")) for name, array in tensors}
    with path.open("wb") as file:  # given a path, torch writes its name into the archive
        try:
            torch.save(state, file)
        except RuntimeError as error:
            raise _why_not_written(error.__context__, error) from error


def _write_safetensors(path: Path, tensors: Named) -> None:
    try:
        save_file({name: np.require(array, requirements="C") for name, array in tensors}, path)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        raise _why_not_written(OSError(int(code[1]), os.strerror(int(code[1]))) if code else None, error) from error


def _why_not_written(cause: BaseException | None, error: Exception) -> Exception:
    """What the disk said, where it is `cause` of a library's own `error`."""
    return cause if isinstance(cause, OSError) else error


_WRITERS: dict[str, Callable[[Path, Named], None]] = {
    "pth": _write_pth,
    "pdparams": _write_pdparams,
    "safetensors": _write_safetensors,
}
_READERS: dict[str, Callable[[Path], Any]] = {
    "pth": read_pth,
    "pdparams": read_pdparams,
    "safetensors": read_safetensors,
}
