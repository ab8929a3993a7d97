"""Gate "weights": nothing lost, nothing invented, and a bit-exact way back."""

from __future__ import annotations

from converter.names import count
from converter.operations import OPERATIONS
from parity.certify.gate import Check, Evidence
from parity.certify.limits import EXACT, EXACT_REASON
from parity.certify.subject import Subject

LISTED = 20
"""Names before the rest is counted."""


def run(subject: Subject) -> Evidence:
    """Count the tensors that differ after conversion, that have no counterpart, and that do not come back."""
    if subject.reference is not None:
        return _of_a_users_reference(subject)
    weights = subject.weights
    different = subject.port_summary["different"] if subject.has_port else list(weights.different)
    side = subject.paddle("float32")
    expected = {name for _, name in weights.plan.transfers}
    lonely = sorted(expected ^ side.tensors.keys())
    checks = [
        _count("tensors without a counterpart", lonely),
        _count("tensors that differ after conversion", different),
    ]
    if not subject.has_port:
        checks.append(_count("tensors that do not come back bit for bit", _lost(subject)))
    return Evidence(checks=checks, remarks=[count(len(weights.torch), "tensor")])


def _of_a_users_reference(subject: Subject) -> Evidence:
    summary = subject.port_summary
    lonely = list(dict.fromkeys([*summary["alone"], *subject.pairing.uncovered]))
    checks = [
        _count("tensors without a counterpart", lonely),
        _count("tensors that differ from the reference's", summary["different"]),
    ]
    return Evidence(checks=checks, remarks=[f"{summary['tensors']} tensors"])


def _lost(subject: Subject) -> list[str]:
    weights = subject.weights
    lost = []
    for step, name in weights.plan.transfers:
        source, target = weights.source[step.source], weights.paddle[name]
        operation = OPERATIONS[step.operation]
        back = operation.invert(target, operation.record(source, target) or {}, source.dtype)
        if back.shape != source.shape or back.tobytes() != source.tobytes():
            lost.append(step.source)
    return lost


def _count(name: str, found: list[str]) -> Check:
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    detail = f"first {', '.join(found[:LISTED])}{more}" if found else ""
    return Check(name=name, measured=len(found), limit=EXACT, reason=EXACT_REASON, detail=detail)
