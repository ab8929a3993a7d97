"""The parity harness: runs two networks, compares them layer by layer and says how far they are apart.

`parity.compare_models` and its `parity.Report` are the way in; the frameworks are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.engine.harness import compare_models
    from parity.verdicts.report import Report

__all__ = ["Report", "compare_models"]


def __getattr__(name: str) -> Any:
    if name == "compare_models":
        from parity.engine.harness import compare_models

        return compare_models
    if name == "Report":
        from parity.verdicts.report import Report

        return Report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
