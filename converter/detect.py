"""Which family a checkpoint is of, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from converter.errors import InputError
from converter.plan import Plan, Tensors, make_plan
from families import FAMILIES, Family, get_family

SIMILAR_ENOUGH = 0.5
"""Share of a family's keys that must be present for a damaged checkpoint to be reported as one of it."""


@dataclass(frozen=True)
class Detection:
    """The chosen plan and the sentence that says why."""

    plan: Plan
    reason: str


def detect(
    tensors: Tensors,
    *,
    path: str,
    family: str | None = None,
    collisions: Collection[str] = (),
    form: Callable[[Family], Family] = lambda family: family,
    without_auxiliary: bool = False,
) -> Detection:
    """Plan for `family`, or for the one family whose keys and shapes are nearest to the checkpoint's.

    `form` changes each candidate first, such as to the twins' names for its own. `without_auxiliary` leaves the
    auxiliary head out.

    Raises InputError, listing every candidate and how far it is, if none is near or two are equally so,
    and if `family` is unknown.
    """
    if family is not None:
        try:
            chosen = form(get_family(family))
            plan = make_plan(tensors, chosen, collisions=collisions, without_auxiliary=without_auxiliary)
            return Detection(plan, "asked for by --family")
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
    plans = [
        make_plan(tensors, form(candidate), check_values=False, without_auxiliary=without_auxiliary)
        for candidate in FAMILIES.values()
    ]
    plans.sort(key=_distance)
    best, *others = plans
    tied = [plan for plan in others if _distance(plan) == _distance(best)]
    if tied or _present(best) < SIMILAR_ENOUGH:
        why = "two families fit equally well" if tied else "it is like no known family"
        why += f", {best.mismatched[0]}" if best.mismatched and not tied else ""
        listed = "; ".join(f"{plan.family.name}: {_misfit(plan)}" for plan in plans)
        raise InputError(f"{path}: cannot tell its family, {why} ({listed}); pass --family NAME")
    return Detection(make_plan(tensors, best.family, collisions=collisions), _reason(best, others))


def _distance(plan: Plan) -> int:
    return len(plan.missing) + len(plan.unexpected) + len(plan.mismatched)


def _present(plan: Plan) -> float:
    matched = len(plan.transfers) - len(plan.mismatched)
    return matched / (matched + len(plan.mismatched) + len(plan.missing))


def _misfit(plan: Plan) -> str:
    counts = (f"{len(entries)} {name}" for name, entries in plan.problems().items())
    return ", ".join(counts) or "fits"


def _reason(best: Plan, others: list[Plan]) -> str:
    if _distance(best):
        return f"nearest family ({_misfit(best)})"
    fit = f"all {len(best.transfers)} tensors have its keys and shapes"
    if not others:
        return fit
    runner_up = others[0]
    unfit = [*runner_up.unexpected, *runner_up.mismatched]
    lack = f"has no place for {unfit[0]}" if unfit else f"also needs {runner_up.missing[0]}"
    return f"{fit}; {runner_up.family.name}, the next nearest, {lack}"
