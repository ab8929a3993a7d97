"""What a gate is: figures, each with its limit and the limit's reason, and one verdict."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from parity.verdicts.found import Found
from parity.verdicts.report import Cause

if TYPE_CHECKING:
    from parity.certify.subject import Subject

Array = np.ndarray[Any, Any]
Verdict = Literal["passed", "failed", "not run", "not asked for"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure against its limit. `reason` is the limit's; `detail` says where the figure is worst."""

    name: str
    measured: float
    limit: float
    reason: str
    detail: str = ""

    def __bool__(self) -> bool:
        return self.measured <= self.limit  # false for NaN

    @property
    def share(self) -> float:
        """Of the limit: the check with the greatest speaks for its gate. NaN counts as infinite."""
        if self:
            return self.measured / self.limit if self.limit else 0.0
        return math.inf if not math.isfinite(self.measured) or not self.limit else self.measured / self.limit


@dataclass(frozen=True, kw_only=True)
class HandIn:
    """What both sides gave, by name: the arrays that the reproduction guide asks to be handed in."""

    reference: Mapping[str, Array]
    port: Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a gate found: its checks, remarks for people, and curves for the report (name -> values).

    `explain` looks for the cause, where a check fails (`parity.certify.causes`). `hand_in` is what was compared, of the
    gates whose arrays the reproduction guide asks for.
    """

    checks: Sequence[Check]
    remarks: Sequence[str] = ()
    curves: dict[str, list[float]] = field(default_factory=dict)
    explain: Callable[[], Found] = field(default=Found)
    hand_in: HandIn | None = None


class NotRunError(Exception):
    """A gate cannot be run, and why: never a pass."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One alignment point. `description` is one line; `run` measures.

    `exercises` names the parts (`parity.certify.parts`) of each side whose code it runs. Where one of the port's or of
    the reference's was not given, the gate is not run: no other code takes its place.
    """

    name: str
    description: str
    run: Callable[[Subject], Evidence]
    exercises: tuple[str, ...] = ()
    seconds: float = 5.0
    """About how long it takes on a small network and two cores."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A gate's verdict, told by the check nearest to its limit or farthest beyond it; true if passed.

    `reason` is that limit's reason; before it, for a failure, what failed and where; for a gate that did not run, why.
    `code` says whose code ran on each side ("port", "reference"), `cause` why a gate failed, where it was found; else
    `tried` hypotheses did not repeat the port's figures, and `facts` are what was measured of the difference.
    """

    name: str
    verdict: Verdict
    measured: float | None
    limit: float | None
    reason: str
    seconds: float
    checks: tuple[Check, ...] = ()
    remarks: tuple[str, ...] = ()
    curves: dict[str, list[float]] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    cause: Cause | None = None
    hand_in: HandIn | None = None
    tried: int = 0
    facts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.verdict == "passed"

    def to_json(self) -> dict[str, Any]:
        """The gate's entry in the certificate."""
        keys = ("name", "verdict", "measured", "limit", "reason", "seconds")
        return {
            **{key: finite(getattr(self, key)) for key in keys},
            "code": dict(self.code),
            "cause": self.cause and self.cause.to_json(),
            "tried": self.tried,
            "facts": list(self.facts),
        }

    def details(self) -> dict[str, Any]:
        """Everything behind the entry."""
        checks = [
            {key: finite(value) for key, value in asdict(check).items()} | {"passed": bool(check)}
            for check in self.checks
        ]
        return {"checks": checks, "remarks": list(self.remarks)}


def run_gate(gate: Gate, subject: Subject) -> Outcome:
    """Run `gate` and judge what it found. It did not run if a part was not given, or nothing was compared."""
    start = time.perf_counter()
    code: Mapping[str, str] = {}
    try:
        code = subject.code_of(gate.exercises) if gate.exercises else {}
        evidence = gate.run(subject)
        if not evidence.checks:
            raise NotRunError("nothing was compared")
        found = Found() if all(evidence.checks) else _explain(evidence)
    except NotRunError as why:
        return replace(not_run(gate.name, str(why), time.perf_counter() - start), code=code)
    judged = _judged(gate.name, evidence, time.perf_counter() - start)
    return replace(judged, code=code, cause=found.cause, tried=found.tried, facts=found.facts)


def _explain(evidence: Evidence) -> Found:
    """Why it fails. What the search raises must not hide the finding."""
    try:
        return evidence.explain()
    except Exception:  # noqa: BLE001 - whatever the user's code raises where it runs again
        return Found()


def not_run(name: str, why: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a gate that could not be run."""
    return _unmeasured(name, "not run", why, seconds)


def not_asked_for(name: str) -> Outcome:
    """The outcome of a gate that was left out."""
    return _unmeasured(name, "not asked for", "left out by --gates or --skip", 0.0)


def _unmeasured(name: str, verdict: Verdict, why: str, seconds: float) -> Outcome:
    return Outcome(name=name, verdict=verdict, measured=None, limit=None, reason=why, seconds=round(seconds, 2))


def _judged(name: str, evidence: Evidence, seconds: float) -> Outcome:
    checks = tuple(evidence.checks)
    failed = [check for check in checks if not check]
    worst = max(failed or checks, key=lambda check: check.share)
    reason = worst.reason
    if failed:
        first = failed[0]
        rest = len(failed) - 1
        more = f" ({rest} more {'check fails' if rest == 1 else 'checks fail'})" if rest else ""
        where = f": {first.detail}" if first.detail else ""
        worst, reason = first, f"{first.name}{where}{more}; limit: {first.reason}"
    return Outcome(
        name=name,
        verdict="failed" if failed else "passed",
        measured=float(worst.measured),
        limit=float(worst.limit),
        reason=reason,
        seconds=round(seconds, 2),
        checks=checks,
        remarks=tuple(evidence.remarks),
        curves=evidence.curves,
        hand_in=evidence.hand_in,
    )


def finite(value: Any) -> Any:
    """`value` as JSON has it: a plain number, or null where it is not finite."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
