"""The parity harness: runs two networks, compares them layer by layer and says how far they are apart.

`parity.compare_models` and its `parity.Report` are the way in, `parity.assert_same` that of a test; the frameworks are
imported when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.engine.harness import compare_models
    from parity.testing.same import assert_same
    from parity.verdicts.report import Report

__all__ = ["Report", "assert_same", "compare_models"]

HOMES = {
    "Report": "parity.verdicts.report",
    "assert_same": "parity.testing.same",
    "compare_models": "parity.engine.harness",
}
"""Public name -> the module it is in."""


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
