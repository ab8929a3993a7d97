"""Where the commands write."""

from __future__ import annotations

import os
from pathlib import Path

from cityscapes.errors import DatasetError
from converter.files import atomic


def make_folder(path: Path) -> None:
    """Create `path` and what is above it. Raises DatasetError unless files can be written there."""
    try:
        atomic.make_folder(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot make this folder: {error.strerror}; name another") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise DatasetError(f"{path}: this folder cannot be written to; name another")
