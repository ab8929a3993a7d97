"""Mistakes in initial values: kinds of parameters that begin otherwise than the reference's.

A fill explains parameters whose mean and deviation are its own and which pass the gate's tests against draws of it. The
cause is proved if the whole gate passes with the reference's parameters drawn so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from parity.certify.causes.engine import Array
from parity.certify.causes.fills import KNOWN, Fans, Fill, Moments, list_constants, read_fills
from parity.certify.causes.updates import find_norms
from parity.certify.gate import Check
from parity.verdicts.found import Found
from parity.verdicts.report import Cause

Values = Mapping[str, Array]
Compare = Callable[[Values, Values], Sequence[Check]]
"""The gate's checks of the reference's parameters and the port's, or of some of them."""
SAMPLE = 20_000
"""Values of a parameter that fills are tried on."""
RIVALS = 2
"""Fills that cannot be told apart: more say nothing."""
Way = tuple[Callable[[list[Moments], list[Fans]], Iterable[Fill]], bool]
WAYS: Sequence[Way] = (
    (lambda arrays, fans: list_constants(arrays), False),
    (lambda arrays, fans: KNOWN, True),
    (read_fills, True),
    (lambda arrays, fans: KNOWN, False),
)
"""Fills by the arrays that are left and their fans, and whether one has to explain all of those."""


def explain_initial(ours: Values, theirs: Values, compare: Compare) -> Found:
    """Which kinds of parameters begin otherwise, and how: `ours` are the reference's, `theirs` the port's."""
    search = _Search(ours, theirs, compare)
    said = {kind: search.explain(names) for kind, names in _kinds(ours).items()}
    causes = [(kind, *pair) for kind, pair in said.items() if pair is not None]
    if search.unknown or not causes or not all(compare(search.made, theirs)):
        return Found(None, search.tried, tuple(search.unknown))
    cause = Cause(
        name=" and ".join(f"initial {kind}" for kind, *_ in causes),
        text="; ".join(f"{kind} begin {own}, the reference's {right}" for kind, own, right in causes),
        fix="; ".join(f"{kind}: {right}" for kind, _, right in causes),
        proved=True,
    )
    return Found(cause, search.tried)


def _kinds(ours: Values) -> dict[str, list[str]]:
    """Kind of parameter -> names."""
    kinds: dict[str, list[str]] = {}
    is_norm = find_norms(ours)
    for name, array in ours.items():
        is_bias = name.endswith("bias")
        kind = "biases" if is_bias else "weights"
        if is_norm(name):
            kind = "biases of norms" if is_bias else "scales of norms"
        elif array.size == 1 and not is_bias:
            kind = "lone scales"
        kinds.setdefault(kind, []).append(name)
    return kinds


class _Search:
    """Fills of the port's parameters. `made` are the reference's, drawn by what was found; `unknown` what was not."""

    def __init__(self, ours: Values, theirs: Values, compare: Compare) -> None:
        self.ours, self.theirs, self._compare = ours, theirs, compare
        self.made, self.unknown, self.tried = dict(ours), list[str](), 0
        self._rng = np.random.default_rng(0)

    def explain(self, names: Sequence[str]) -> tuple[str, str] | None:
        """What these begin with, and the reference's; None where they agree, or where no fill explains them."""
        odd = [name for name in names if not self._agree({name: self.ours[name]}, self.theirs)]
        if not odd and not self._agree({name: self.ours[name] for name in names}, self.theirs):
            odd = list(names)
        if not odd:
            return None
        own = self._describe(names, self.theirs, keep=True, ways=[(make, True) for make, _ in WAYS])
        if own is not None:
            return own, self._describe(odd, self.ours) or "otherwise"
        own = self._describe(odd, self.theirs, keep=True)
        if own is None:
            moments = [Moments.of(self.theirs[name]) for name in odd]
            deviations = sorted(one.deviation for one in moments)
            self.unknown.append(
                f"of {_list(odd)}, deviations are {deviations[0]:.3g} to {deviations[-1]:.3g} and means at most "
                f"{max(abs(one.mean) for one in moments):.3g}"
            )
            return None
        return f"{own} in {_list(odd)}", self._describe(odd, self.ours) or "otherwise"

    def _describe(
        self, names: Sequence[str], values: Values, *, keep: bool = False, ways: Sequence[Way] | None = None
    ) -> str | None:
        """The fills of `values` called `names`, in words: as few as explain all; None where some are not explained."""
        left, said = list(names), list[str]()
        moments = {name: Moments.of(values[name]) for name in names}
        for make_fills, whole in WAYS if ways is None else ways:
            while left:
                fills = make_fills([moments[name] for name in left], [self._fans(name) for name in left])
                covered, found = self._cover({name: moments[name] for name in left}, values, fills)
                if not covered or len(found) > RIVALS or (whole and len(covered) < len(left)):
                    break
                text = " or ".join(fill.text for fill in found)
                left = [name for name in left if name not in covered]
                said.append(text if not left and not said else f"{text} ({_list(covered)})")
                if keep:
                    self.made |= {name: self._draw(found[0], name, self.ours[name].size) for name in covered}
        return None if left else ", ".join(said)

    def _cover(
        self, moments: Mapping[str, Moments], values: Values, fills: Iterable[Fill]
    ) -> tuple[list[str], list[Fill]]:
        """The most names that one fill explains, and the fills that explain them."""
        found: dict[tuple[str, ...], list[Fill]] = {}
        for fill in fills:
            self.tried += 1
            own = tuple(name for name, one in moments.items() if fill.fits(one, self._fans(name)))
            made = {name: self._draw(fill, name, min(self.ours[name].size, SAMPLE)) for name in own}
            if own and self._agree(made, values):
                found.setdefault(own, []).append(fill)
        best = max(found, key=len, default=tuple[str, ...]())
        return list(best), found.get(best, [])

    def _agree(self, made: Values, values: Values) -> bool:
        return all(self._compare(*({name: _sample(side[name], SAMPLE) for name in made} for side in (made, values))))

    def _draw(self, fill: Fill, name: str, count: int) -> Array:
        return fill.draw(self._rng, count, self._fans(name)).astype(self.ours[name].dtype)

    def _fans(self, name: str) -> Fans:
        weight = self.ours.get(name.removesuffix("bias") + "weight", self.ours[name])
        if weight.ndim < 2:
            return 1.0, 1.0
        return weight[0].size, weight[:, 0].size


def _sample(array: Array, most: int) -> Array:
    return array.reshape(-1)[:: max(array.size // most, 1)]


def _list(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
