"""Gate "loss": both criteria on the same logits, with their gradients, in the cases where ports go wrong."""

from __future__ import annotations

import math

from parity.certify.criteria import STRATEGIES, Case, make_cases, measure
from parity.certify.gate import Check, Evidence
from parity.certify.limits import LOSS, LOSS_REASON, SINGLE_LOSS, SINGLE_LOSS_REASON
from parity.certify.measure import greatest, relative, worst
from parity.certify.sides import Side
from parity.certify.subject import Subject
from parity.networks.user import describe
from recipe.ohem import Mining


def run(subject: Subject) -> Evidence:
    """Every criterion on ordinary logits, on logits that are all equal, and on almost unlabelled pixels.

    The toolkit's own are tried with several strategies of mining; a port's own loss is one, and is held against the
    recipe's, on large pictures too.
    """
    sides = subject.torch(layers=False), subject.paddle(layers=False)
    if not subject.gives("loss"):
        checks = [
            check
            for name, mining in STRATEGIES.items()
            for case in make_cases(subject, mining=False)
            for check in _compare(subject, sides, mining, case, name)
        ]
        return Evidence(checks=checks)
    own = subject.reference_kit["loss"].run
    name = subject.loss_name if own is None else "the reference's own"
    checks = [
        check
        for case in make_cases(subject, mining=True)
        for check in _compare(subject, sides, subject.mining, case, name)
    ]
    chosen = "asked for" if subject.loss_recipe is not None else "the nearest published; --recipe names another"
    remarks = [f"held against the {subject.family} recipe with {name}, {chosen}"] if own is None else []
    corners = subject.forms[1].check_corners(subject.preprocessing.align_corners, "loss")
    return Evidence(checks=[*corners, *checks], remarks=remarks)


def _compare(
    subject: Subject, sides: tuple[Side, Side], mining: Mining | None, case: Case, criterion: str
) -> list[Check]:
    forms = [form if side.own("loss") else None for side, form in zip(sides, subject.forms, strict=True)]
    corners = None if forms[1] is None else forms[1].align_corners
    name = f"{criterion}, {case.name}"
    expected = measure(sides[0], sides[0].criterion(mining), forms[0], case, corners)
    try:
        actual = measure(sides[1], sides[1].criterion(mining), forms[1], case, corners)
    except Exception as error:  # noqa: BLE001 - a loss that fails on what the reference's takes is a finding
        detail = f"the port's raises {describe(error)}"
        return [Check(name=name, measured=math.inf, limit=LOSS, reason=LOSS_REASON, detail=detail)]
    scale = max(greatest(expected.gradients).values())
    distance, where = worst(actual.gradients, expected.gradients, dict.fromkeys(expected.gradients, scale))
    limit, reason = (SINGLE_LOSS, SINGLE_LOSS_REASON) if actual.is_single else (LOSS, LOSS_REASON)
    detail = f"the port's {actual.loss:.15g}, the reference's {expected.loss:.15g}"
    return [
        Check(name=name, measured=relative(actual.loss, expected.loss), limit=limit, reason=reason, detail=detail),
        Check(name=f"gradient of {name}", measured=distance, limit=limit, reason=reason, detail=where),
    ]
