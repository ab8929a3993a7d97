"""The page of every figure beyond its limit: what failed, with both values; nothing of what passed."""

from __future__ import annotations

import math

from parity.certify.catalogue import GATES
from parity.certify.certificate import Certificate
from parity.certify.gate import Check, Outcome, not_run
from parity.reports.differences import render_differences
from parity.verdicts.report import Cause

CHECKS = (
    Check(name="rate | of a step", measured=0.5, limit=1e-12, reason="", detail="the port's 1, the reference's 2"),
    Check(name="iterations", measured=0.0, limit=0.0, reason="", detail="equal"),
    Check(name="ports' shape", measured=math.inf, limit=0.0, reason="", detail="<other>"),
)
CAUSE = Cause(name="power", text="power is 1", fix="power 0.9", residual=1e-16, proved=True)


def make(name: str) -> Outcome:
    verdicts = {"learning rate": "failed", "loss": "passed"}
    if name not in verdicts:
        return not_run(name, "the port's own loader was not given")
    return Outcome(
        name=name,
        verdict=verdicts[name],  # type: ignore[arg-type]
        measured=0.5,
        limit=1e-12,
        reason="",
        seconds=1.0,
        checks=CHECKS,
        code={"port": "my.yml", "reference": "toolkit"},
        cause=CAUSE if name == "learning rate" else None,
    )


def test_the_page() -> None:
    subject = {
        "target": {"name": "a/my.yml"},
        "family": "official",
        "recurrence": 2,
        "depth": 101,
        "num_classes": 19,
        "notes": ["the loss is held against"],
    }
    certificate = Certificate(
        subject=subject,
        outcomes=[make(name) for name in GATES],
        settings={},
        environment={"versions": {"paddlepaddle": "3.3.1"}},
    )
    page = render_differences(certificate.to_json())
    assert page.startswith("# What `my.yml` does otherwise than the official reference\n")
    assert "**Not certified**: 1 of 14 gates passed; 1 failed: learning rate" in page
    assert "| rate \\| of a step | 5.0e-01 | 1.0e-12 | the port's 1, the reference's 2 |" in page
    assert "| ports' shape | infinite | 0 | &lt;other&gt; |" in page
    assert "- cause: power is 1" in page
    assert "iterations" not in page
    assert "## Loss" not in page
    assert "## Training data\n\nNot run: the port's own loader was not given." in page
