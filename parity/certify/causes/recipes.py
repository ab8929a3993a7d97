"""The hypothesis that a port's loss is another family's published one, which differs in several places at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from parity.certify.causes.engine import Hypothesis, Numbers
from recipe.recipe import RECIPES, Recipe

Measure = Callable[[Recipe, str, Any], Numbers]
"""What a recipe's criterion of that name makes of a case."""
PLAIN = "cross-entropy"


def propose_recipes(own: Recipe, name: str, measure: Measure) -> Iterator[Hypothesis]:
    """The criteria of other recipes than `own`, whose criterion called `name` is the reference's, and the plain one."""
    for family, recipe in RECIPES.items():
        if _criteria(recipe) != _criteria(own):
            for other in recipe.losses:
                yield _hypothesis(f"that of the {family} recipe, ", recipe, other, own, name, measure)
    if PLAIN not in own.losses:
        yield _hypothesis("", own, PLAIN, own, name, measure)


def _hypothesis(said: str, recipe: Recipe, other: str, own: Recipe, name: str, measure: Measure) -> Hypothesis:
    return Hypothesis(
        name="another recipe's loss" if said else "cross-entropy for OHEM",
        text=f"the loss is {said}{_describe(recipe, other)}; the reference's {_describe(own, name)}",
        fix="mine and divide as the reference does"
        + "; PaddleSeg has the official ones by CCNetOhem and CCNetCrossEntropy" * (_criteria(own) == OFFICIAL),
        repeat=lambda case: measure(recipe, other, case),
    )


def _criteria(recipe: Recipe) -> tuple[Any, ...]:
    return recipe.losses, recipe.epsilon, recipe.mining_epsilon, recipe.ignored_in_mean


OFFICIAL = _criteria(RECIPES["official"])


def _describe(recipe: Recipe, name: str) -> str:
    mining = recipe.losses.get(name)
    if mining is None:
        pixels = "all pixels" if recipe.ignored_in_mean else "the pixels that are not ignored"
        return f"the mean cross-entropy over {pixels}, {recipe.epsilon:g} added in the denominator"
    where = f"a map subsampled {mining.factor} times" if mining.factor > 1 else "all pixels"
    side = "at" if mining.inclusive else "below"
    return (
        f"OHEM: threshold {mining.threshold:g} or higher, sought on {where}, pixels kept {side} it, "
        f"{mining.min_kept:,} at least, {recipe.mining_epsilon:g} added in the denominator; "
        f"auxiliary: {recipe.epsilon:g} added"
    )
