"""What an examination of the installation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do unless it is "ok".

    A "note" changes numbers, or leaves some commands out; a "fault" keeps comparisons from running or from being
    right.
    """

    name: str
    found: str
    verdict: Verdict = "ok"
    advice: str = ""


@dataclass(frozen=True)
class Examination:
    """All findings; true if none is a fault. `environment` is what reports say of it."""

    findings: Sequence[Finding]
    environment: Mapping[str, Any]

    def __bool__(self) -> bool:
        return all(finding.verdict != "fault" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The contract of `ccnet-parity doctor --json`."""
        return {
            "healthy": bool(self),
            "findings": [asdict(finding) for finding in self.findings],
            "environment": dict(self.environment),
        }
