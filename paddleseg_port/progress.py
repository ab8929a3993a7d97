"""PaddleSeg's progress bar, which leaves its line open when a loop is broken off."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from paddleseg.utils import progbar


@contextmanager
def ended_progress() -> Iterator[None]:
    """Within, a bar that an error broke off is ended, so that the error has a line of its own."""
    open_bars: set[int] = set()

    class EndedBar(progbar.Progbar):
        def update(self, current: int, *arguments: Any, **options: Any) -> None:
            super().update(current, *arguments, **options)
            (open_bars.add if current < self.target else open_bars.discard)(id(self))

    try:
        with patch.object(progbar, "Progbar", EndedBar):
            yield
    except BaseException:
        if open_bars:
            sys.stderr.write("\n")
        raise
