"""Gate "loss": both criteria on the same logits, with their gradients, in the cases where ports go wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from parity.certify.causes.criteria import Edit
from parity.certify.causes.engine import Asked, Hypothesis, Numbers, explain
from parity.certify.causes.loss import Measure, propose
from parity.certify.causes.readings import explain_settings
from parity.certify.causes.recipes import propose_recipes
from parity.certify.criteria import STRATEGIES, Case, Measured, make_cases, make_probe, measure, resize
from parity.certify.gate import Check, Evidence, HandIn
from parity.certify.limits import LOSS, LOSS_REASON, SINGLE_LOSS, SINGLE_LOSS_REASON
from parity.certify.measure import greatest, relative, worst
from parity.certify.sides import Side
from parity.certify.subject import Subject
from parity.networks.user import describe
from parity.verdicts.found import Found
from recipe.ohem import Mining
from recipe.recipe import Recipe

Tried = tuple[Mining | None, Case, str]
"""A criterion on a case, and what both are called."""


@dataclass(frozen=True)
class _Compared:
    """What both criteria make of one case; `raised` is why the port's makes nothing."""

    tried: Tried
    expected: Measured
    actual: Measured | None
    raised: str = ""

    @property
    def both(self) -> tuple[Measured, Measured]:
        """The port's and the reference's, where the port's makes something."""
        assert self.actual is not None
        return self.actual, self.expected

    @property
    def limit(self) -> tuple[float, str]:
        """Of the difference, and its reason."""
        is_single = self.actual is not None and self.actual.is_single
        return (SINGLE_LOSS, SINGLE_LOSS_REASON) if is_single else (LOSS, LOSS_REASON)

    @property
    def checks(self) -> list[Check]:
        """Of the loss and of its gradients."""
        (limit, reason), name = self.limit, self.tried[2]
        expected, actual = self.expected, self.actual
        if actual is None:
            return [Check(name=name, measured=math.inf, limit=limit, reason=reason, detail=self.raised)]
        scale = max(greatest(expected.gradients).values())
        distance, where = worst(actual.gradients, expected.gradients, dict.fromkeys(expected.gradients, scale))
        detail = f"the port's {actual.loss:.15g}, the reference's {expected.loss:.15g}"
        measured = relative(actual.loss, expected.loss)
        return [
            Check(name=name, measured=measured, limit=limit, reason=reason, detail=detail),
            Check(name=f"gradient of {name}", measured=distance, limit=limit, reason=reason, detail=where),
        ]


def run(subject: Subject) -> Evidence:
    """Every criterion on ordinary logits, on logits that are all equal, and on almost unlabelled pixels.

    The toolkit's own are tried with several strategies of mining; a port's own loss is one, and is held against the
    recipe's, on large pictures too.
    """
    sides = subject.torch(layers=False), subject.paddle(layers=False)
    corners: list[Check] = []
    remarks: list[str] = []
    if not subject.gives("loss"):
        cases = list(make_cases(subject, mining=False))
        tried = [(mining, case, f"{name}, {case.name}") for name, mining in STRATEGIES.items() for case in cases]
    else:
        own = subject.reference_kit["loss"].run
        name = subject.loss_name if own is None else "the reference's own"
        tried = [(subject.mining, case, f"{name}, {case.name}") for case in make_cases(subject, mining=True)]
        remarks = [subject.chosen_recipe] if own is None else []
        corners = subject.forms[1].check_corners(subject.preprocessing.align_corners, "loss")
    compared = [_compare(subject, sides, one) for one in tried]
    checks = [*corners, *(check for one in compared for check in one.checks)]
    hand_in = HandIn(
        reference={one.tried[2]: np.array(one.expected.loss) for one in compared},
        port={one.tried[2]: np.array(one.actual.loss) for one in compared if one.actual is not None},
    )

    def explain_why() -> Found:
        return (
            explain_settings(corners)
            if all(check for one in compared for check in one.checks)
            else _explain(subject, sides, compared)
        )

    return Evidence(checks=checks, remarks=remarks, explain=explain_why, hand_in=hand_in)


def _compare(subject: Subject, sides: tuple[Side, Side], tried: Tried) -> _Compared:
    expected = _measure(subject, sides[0], tried)
    try:
        return _Compared(tried, expected, _measure(subject, sides[1], tried))
    except Exception as error:  # noqa: BLE001 - a loss that fails on what the reference's takes is a finding
        return _Compared(tried, expected, None, f"the port's raises {describe(error)}")


def _measure(
    subject: Subject, side: Side, tried: Tried, edit: Edit = lambda criterion: None, *, backward: bool = True
) -> Measured:
    """What the side's criterion, edited, makes of the case."""
    mining, case, _ = tried
    form = subject.forms[0 if side.name == "reference" else 1]
    corners = subject.forms[1].align_corners if subject.gives("loss") else None
    criterion = side.criterion(mining)
    edit(criterion)
    return measure(side, criterion, form if side.own("loss") else None, case, corners, backward=backward)


def _explain(subject: Subject, sides: tuple[Side, Side], compared: Sequence[_Compared]) -> Found:
    """Why the port's loss is another: an edit of the toolkit's criterion, where that is the reference's."""
    if sides[0].own("loss") is not None:
        return Found()
    if any(one.actual is None for one in compared):
        return Found()  # it says itself why it raises
    # A case that differs, and one that does not, rule out most hypotheses.
    compared = sorted(compared, key=lambda one: all(one.checks))
    compared = [*compared[:1], *compared[:0:-1]]
    probe = _compare(subject, sides, (compared[0].tried[0], make_probe(subject), "very small pictures"))
    compared = [*([] if probe.actual is None else [probe]), *compared]
    asked = []
    for gradients in (False, True):
        for one in compared:
            actual, expected = (_numbers(one.tried[1], own, gradients) for own in one.both)
            name = f"gradients of {one.tried[2]}" if gradients else one.tried[2]
            asked.append(Asked((one.tried, gradients), actual, expected, one.limit[0], name))
    large = {one.tried[1].name: _resize(subject, one.tried[1]) for one in compared}

    def measure_by(mining: Mining | None, *, given: bool) -> Measure:
        """The reference's criterion of `mining`; without `given`, of the case's own."""

        def repeat(case: Tried, edit: Edit, *, gradients: bool, resized: bool) -> Numbers:
            own, logits = (mining if given else case[0]), large[case[1].name] if resized else case[1]
            made = _measure(subject, sides[0], (own, logits, case[2]), edit, backward=gradients)
            return _numbers(case[1], made, gradients)

        return repeat

    bases = {"": (measure_by(None, given=False), any(one.tried[0] is not None for one in compared))}
    if subject.gives("loss") and subject.loss_recipe is None:
        bases |= {
            f" (of {name}, which is meant)": (measure_by(mining, given=True), mining is not None)
            for name, mining in subject.recipe.losses.items()
            if name != subject.loss_name
        }
    levels = propose(asked, bases)
    return explain(asked, chain(islice(levels, 1), [_of_other_recipes(subject, sides[0])], levels))


def _of_other_recipes(subject: Subject, side: Side) -> Iterator[Hypothesis]:
    """Several mistakes at once, where they make another published loss."""

    def measure_by(recipe: Recipe, name: str, key: tuple[Tried, bool]) -> Numbers:
        (_, case, what), gradients = key
        own, side.recipe = side.recipe, recipe
        try:
            made = _measure(subject, side, (recipe.losses.get(name), case, what), backward=gradients)
        finally:
            side.recipe = own
        return _numbers(case, made, gradients)

    if subject.gives("loss"):
        yield from propose_recipes(subject.recipe, subject.loss_name, measure_by)


def _resize(subject: Subject, case: Case) -> Case:
    """With the logits at the labels' size, as the reference brings them there."""
    size, corners = case.labels.shape[1:], subject.forms[1].align_corners if subject.gives("loss") else None
    align = subject.preprocessing.align_corners if corners is None else corners
    return replace(case, outputs=tuple(resize(array, size, align_corners=align) for array in case.outputs))


def _numbers(case: Case, measured: Measured, gradients: bool) -> Numbers:
    """The loss, or the gradients of both logits: zero where there is none."""
    if not gradients:
        return {"loss": np.array(measured.loss)}
    found = zip(("logits", "auxiliary"), case.outputs, strict=True)
    return {name: measured.gradients.get(name, np.zeros_like(array)) for name, array in found}
