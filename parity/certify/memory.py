"""What an interrupted run has found, for the same command to go on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.files.documents import read_document, record
from parity.certify.certificate import EXPLAINED, GATE, NUMBER, TEXT, write_certificate
from parity.certify.gate import Check, Outcome, finite
from parity.environment.describe import describe_environment
from parity.verdicts.report import Cause

PARTIAL = "certificate.partial.json"
"""Finished gates of a run that has not ended."""
CHECK = record(
    {
        "name": TEXT,
        "measured": NUMBER,
        "limit": {"type": "number"},
        "reason": TEXT,
        "detail": TEXT,
        "passed": {"type": "boolean"},
    }
)
SCHEMA = record(
    {
        "identity": {"type": "object"},
        "outcomes": {
            "type": "array",
            "items": record(
                {
                    **GATE,
                    "checks": {"type": "array", "items": CHECK},
                    "remarks": {"type": "array", "items": TEXT},
                    "curves": {"type": "object", "additionalProperties": {"type": "array", "items": NUMBER}},
                },
                optional=EXPLAINED,
            ),
        },
    }
)
"""What an interrupted run leaves behind."""


class Memory:
    """Outcomes of an interrupted run on the same files, settings and environment.

    A port is code, which may have changed since: its run starts anew.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, lasting: bool) -> None:
        self._path, self._lasting = path, lasting
        self._identity = json.loads(json.dumps({**identity, "environment": describe_environment()}))
        self._known: dict[str, Outcome] = {}
        if lasting and path.exists():
            content = read_document(path, SCHEMA, "state of an interrupted run; remove it to start anew")
            if content["identity"] == self._identity:
                self._known = {entry["name"]: _read_outcome(entry) for entry in content["outcomes"]}

    def recall(self, name: str) -> Outcome | None:
        """The outcome of a gate that ran to its end."""
        return self._known.get(name)

    def keep(self, outcome: Outcome) -> None:
        """Note the outcome of a gate, unless it could not run."""
        if outcome.verdict == "not run" or not self._lasting:
            return
        self._known[outcome.name] = outcome
        entries = [
            {**outcome.to_json(), **outcome.details(), "curves": _finite(outcome.curves)}
            for outcome in self._known.values()
        ]
        write_certificate(self._path, {"identity": self._identity, "outcomes": entries})

    def forget(self) -> None:
        """The run has ended."""
        self._path.unlink(missing_ok=True)


def _read_outcome(entry: dict[str, Any]) -> Outcome:
    def number(value: Any) -> Any:
        return float("nan") if value is None else value

    checks = tuple(
        Check(**{key: number(value) if key == "measured" else value for key, value in check.items() if key != "passed"})
        for check in entry["checks"]
    )
    cause = entry.get("cause")
    return Outcome(
        **{
            **entry,
            "measured": number(entry["measured"]),
            "checks": checks,
            "remarks": tuple(entry["remarks"]),
            "cause": cause and Cause(**cause),
            "facts": tuple(entry.get("facts", ())),
        }
    )


def _finite(curves: Mapping[str, list[float]]) -> dict[str, list[float | None]]:
    """A loss that is no number is null, as JSON has it."""
    return {name: [finite(value) for value in values] for name, values in curves.items()}
