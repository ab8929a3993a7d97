"""The reproduction guide's own package as the judge of files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reprod_log import ReprodDiffHelper

from parity.reports.reprod_log import FILES


def judge(folder: Path, point: str) -> list[str]:
    """The lines of the package's own report on a point's files, without times, asked as its users do."""
    helper, (port, reference, _) = ReprodDiffHelper(), FILES[point]
    with _taken_out():
        helper.compare_info(*(helper.load_info(str(folder / name)) for name in (reference, port)))
        helper.report(path=str(folder / "theirs.log"))
    return without_times(folder / "theirs.log")


def without_times(path: Path) -> list[str]:
    return [re.sub(r"^\[.*?\] ", "", line) for line in path.read_text().splitlines()]


@contextmanager
def _taken_out() -> Iterator[None]:
    """The package's logger is Python's root: what it puts there is taken out again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in [one for one in root.handlers if one not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
