"""Settings that a gate reads off both sides: where one differs, that is the cause, and nothing has to be tried."""

from __future__ import annotations

from collections.abc import Sequence

from parity.certify.gate import Check
from parity.verdicts.found import Found
from parity.verdicts.report import Cause

SETTINGS = {
    "resize of logits": ("align_corners", "resize the logits as the family does"),
    "sliding windows": ("sliding windows", "evaluate by the reference's windows"),
    "dropouts of another kind": ("kind of dropout", "drop what the reference drops"),
    "iterations": ("iterations", "train for as many iterations as the reference"),
}
"""Check -> what the setting is called, and what to do."""


def explain_settings(checks: Sequence[Check]) -> Found:
    """The first setting of these checks that differs."""
    for check in checks:
        if not check and check.name in SETTINGS:
            name, fix = SETTINGS[check.name]
            return Found(Cause(name=name, text=check.detail, fix=fix))
    return Found()
