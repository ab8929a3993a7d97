"""What an interrupted evaluation leaves behind, for `--resume`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cityscapes.totals import SCHEMA, Totals
from converter.errors import InputError
from converter.files.atomic import staged
from converter.files.documents import read_document

INTERVAL = 10.0
"""Seconds between two saves."""


def cache_folder() -> Path:
    """Where states are kept: by the XDG base directory specification."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # neither HOME nor a name: nothing is kept
        base = Path(os.devnull)
    return base / "ccnet-parity" / "evaluations"


@dataclass
class State:
    """The file of one evaluation, known by everything its result depends on: another's is never taken for it."""

    settings: dict[str, Any]
    interval: float = INTERVAL
    folder: Path = field(default_factory=cache_folder)
    saved: float = field(default_factory=time.monotonic)
    latest: dict[str, Any] | None = None

    @property
    def path(self) -> Path:
        """The file. One that is not there, or in a folder that is none, is as good as none."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest[:32]}.json"

    def load(self) -> Totals | None:
        """What was counted before the interruption; None if nothing was. Raises InputError if the file is damaged."""
        if not self.path.exists():
            return None
        return Totals.from_json(
            read_document(self.path, SCHEMA, "state of an interrupted run; remove it to start anew")
        )

    def update(self, totals: Totals) -> None:
        """Remember the totals after a whole image, and save them if the last time is `interval` seconds ago."""
        self.latest = totals.to_json()
        if time.monotonic() - self.saved >= self.interval:
            self.save()

    def save(self) -> None:
        """Write what was last remembered. A folder that cannot be written costs no more than the resuming."""
        self.saved = time.monotonic()
        if self.latest is None:
            return
        with contextlib.suppress(OSError, InputError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with staged(self.path) as (temporary,):
                temporary.write_text(json.dumps(self.latest), encoding="utf-8")

    def remove(self) -> None:
        """The evaluation is complete."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
