"""Mistakes in a schedule: other rates of the recipe's steps, whose numbers are read off the port's curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from parity.certify.causes.engine import Array, Asked, Hypothesis
from recipe.recipe import Recipe

DIGITS = 6
"""Of a number that is read off a curve."""
FLAT = 1e-9
"""Of the base rate: two rates that are one."""


def propose_schedules(asked: Asked, recipe: Recipe) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in the rates of all steps and of one beyond, the case's numbers."""
    actual = asked.actual["rates"]
    steps = np.arange(len(actual))
    base, end = _rounded(actual[0]), _rounded(actual[-1])

    def hypothesis(name: str, text: str, fix: str, rates: Array) -> Hypothesis:
        return Hypothesis(name=name, text=text, fix=fix, repeat=lambda key: {"rates": rates})

    def curve(own: Recipe, at: Array = steps) -> Array:
        share = np.maximum(0.0, 1 - at / own.steps)
        return np.asarray((own.base_rate - own.end_rate) * share**own.power + own.end_rate)

    ours = f"base {recipe.base_rate:g}, end {recipe.end_rate:g}, power {recipe.power:g}, {recipe.steps} steps"
    yield iter(
        [
            hypothesis("constant rate", f"the rate stays {base:g}", ours, np.full(len(steps), base)),
            hypothesis(
                "a step early",
                "the schedule is a step early",
                "step the schedule after the update",
                curve(recipe, steps + 1),
            ),
            hypothesis(
                "a step late",
                "the schedule is a step late",
                "count steps from 0, and step after each update",
                curve(recipe, np.maximum(steps - 1, 0)),
            ),
        ]
    )
    long = _find_stair(actual)
    if long > 1:
        said = f"the rate changes every {long} steps alone (by epoch), the reference's at each"
        lengths = dict.fromkeys((recipe.steps, recipe.steps // long * long, -(-recipe.steps // long) * long))
        stairs = [curve(replace(recipe, steps=length), steps // long * long) for length in lengths if length]
        yield (hypothesis("by epoch", said, "step the schedule after each update", one) for one in stairs)
    warm = int(np.argmax(actual))
    if 0 < warm < len(actual) - 1:
        first = _rounded(actual[0])
        rising = np.interp(steps, [0, warm], [first, actual[warm]])
        text = (
            f"the rate rises from {first:g} for {warm} steps (warm-up), the reference's begins at {recipe.base_rate:g}"
        )
        later = np.maximum(steps - warm, 0)
        shorter = replace(recipe, steps=max(recipe.steps - warm, 1))
        after = (curve(recipe), curve(recipe, later), curve(shorter, later))
        yield (hypothesis("warm-up", text, ours, np.where(steps < warm, rising, one)) for one in after)
    turned = base / 2 * (1 + np.cos(np.pi * steps / recipe.steps))
    yield iter([hypothesis("cosine", "the rate falls by a cosine, the reference's by a power", ours, turned)])
    length = _read_length(actual)
    for other in (
        replace(recipe, steps=_read_whole_length(actual, recipe)),
        replace(recipe, end_rate=end),
        replace(recipe, steps=length),
        replace(recipe, base_rate=base),
        replace(recipe, end_rate=end, steps=length),
        replace(recipe, end_rate=end, steps=length, base_rate=base),
    ):
        yield from _settings(hypothesis, curve, recipe, other, actual)


def _settings(
    hypothesis: Callable[[str, str, str, Array], Hypothesis],
    curve: Callable[[Recipe], Array],
    recipe: Recipe,
    other: Recipe,
    actual: Array,
) -> Iterator[Iterator[Hypothesis]]:
    """Settings that differ, with the recipe's power, and with that of the port's curve."""
    for own in (other, replace(other, power=_read_power(actual, other))):
        names = {"base_rate": "base rate", "end_rate": "end rate", "steps": "length", "power": "power"}
        odd = {said: (getattr(own, name), getattr(recipe, name)) for name, said in names.items()}
        odd = {said: values for said, values in odd.items() if values[0] != values[1]}
        if odd and own.power > 0:
            text = ", ".join(f"{said} is {left:g}, the reference's {right:g}" for said, (left, right) in odd.items())
            fix = ", ".join(f"{said} {right:g}" for said, (_, right) in odd.items())
            yield iter([hypothesis(" and ".join(odd), text, fix, curve(own))])


def _find_stair(rates: Array) -> int:
    """After how many steps the rate changes for the first time."""
    changes = np.flatnonzero(rates[1:] != rates[:-1])
    return int(changes[0]) + 1 if len(changes) else 0


def _read_length(rates: Array) -> int:
    """The first step from which the rate stays what it is at the end."""
    moving = np.flatnonzero(np.abs(rates - rates[-1]) > FLAT * np.abs(rates).max())
    return int(moving[-1]) + 1 if len(moving) else len(rates)


def _read_whole_length(rates: Array, own: Recipe) -> int:
    """From the rate in the middle of the curve, of one that has not ended with it."""
    middle = own.steps // 2
    share = (rates[middle] - own.end_rate) / (own.base_rate - own.end_rate)
    return round(middle / (1 - share ** (1 / own.power))) if 0 < share < 1 else own.steps


def _read_power(rates: Array, own: Recipe) -> float:
    """From the rate in the middle of the curve."""
    middle = own.steps // 2
    if middle < 1 or middle >= len(rates) or own.base_rate == own.end_rate:
        return np.nan
    share = (rates[middle] - own.end_rate) / (own.base_rate - own.end_rate)
    return _rounded(float(np.log(share) / np.log(1 - middle / own.steps))) if share > 0 else np.nan


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
