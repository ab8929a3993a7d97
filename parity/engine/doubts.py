"""What may be no mistake although it fails: a boundary drawn elsewhere, a scalar written otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from parity.engine.boundaries import (
    Boundaries,
    Call,
    Failure,
    TooMany,
    Trialled,
    draw_boundaries,
    find_redrawn,
    find_suspects,
)
from parity.engine.findings import Findings, failure
from parity.engine.passes import Passes
from parity.engine.scalars import GREATEST, Scalars
from parity.engine.search import Search
from parity.engine.stream import Key
from parity.networks.modules import ModuleInfo, is_users_own
from parity.pairing.propose import Pairing
from parity.verdicts.report import OUTPUT_SITE

MOST_ISOLATED = 10
"""Isolated passes that an unusual port may cost more than a plain one."""
SPENT = (
    f"the search for what the port draws elsewhere was cut short after {MOST_ISOLATED} passes: name pairs by --mapping"
)
GROSS = 1e-3
"""Of the RMS: no number that is slightly off makes a layer differ by as much."""


class Doubts:
    """What may be no mistake although it fails: a boundary drawn elsewhere, a scalar written otherwise.

    `redrawn` are the reference's paths whose pairs were given up, `notes` say which scalars stand for others.
    """

    def __init__(self, passes: Passes, pairing: Pairing, ours: Mapping[str, ModuleInfo]) -> None:
        self._passes, self._pairing = passes, pairing
        self._loose = _find_loose(pairing.pairs, ours, passes.theirs)
        self._opaque = _find_opaque(draw_boundaries(pairing), ours, passes.theirs)
        self.scalars: Scalars | None = None
        self.redrawn: set[str] = set()
        self._unexplained: set[Failure] = set()
        self._left = MOST_ISOLATED

    @property
    def notes(self) -> tuple[str, ...]:
        spent = () if self._left >= 0 else (SPENT,)
        return (*(() if self.scalars is None else self.scalars.notes), *spent)

    def draw(self, given_up: Collection[str] = (), exits: Mapping[Call, Key | None] | None = None) -> Boundaries:
        """The boundaries without some pairs, and with some exits elsewhere."""
        return draw_boundaries(self._pairing, given_up, exits, self._opaque)

    def search(self, boundaries: Boundaries) -> Search:
        """For a pass that looks for outputs elsewhere."""
        modules = self._passes.exact_modules
        self.scalars = self.scalars or Scalars(modules, self._passes.constants)
        return Search(modules, self._passes.theirs, boundaries, self.scalars, self._passes.convention.exchange)

    def settle(self, found: Findings | None, search: Search | None) -> Boundaries:
        """The boundaries as the port draws them.

        `found` is what an isolated float64 pass over all pairs found with `search`; without one, it is run.
        """
        boundaries = self.draw()
        if found is None or search is None:
            search = self.search(boundaries)
            found = self._passes.isolate(boundaries, search)
        exits = dict(search.found)
        try:
            found = self._write_out(found, exits)
            self._write_out(self._give_up_redrawn(found, exits), exits)
        except TooMany:
            pass
        return self.draw(self.redrawn, exits)

    def _write_out(self, found: Findings, exits: Mapping[Call, Key | None]) -> Findings:
        """Write scalars otherwise where something is off by as little as they make of it; what is found then.

        This comes before pairs are given up, which is cheap only where the outputs agree, and after it for what it
        uncovers.
        """
        scalars, slight = self.scalars, _find_slight(found)
        assert scalars is not None
        if slight <= self._unexplained:
            return found
        tried = [found]

        def count() -> int:
            tried.append(self._isolate(self.redrawn, exits))
            return len(_find_slight(tried[-1]))

        self._passes.write_out(scalars, count, len(slight))
        best = min(tried, key=lambda one: len(_find_slight(one)))
        self._unexplained = _find_slight(best)
        return best

    def _isolate(self, given_up: Collection[str], exits: Mapping[Call, Key | None]) -> Findings:
        """Raises TooMany after MOST_ISOLATED."""
        self._left -= 1
        if self._left < 0:
            raise TooMany
        return self._passes.isolate(self.draw(given_up, exits))

    def _give_up_redrawn(self, found: Findings, exits: dict[Call, Key | None]) -> Findings:
        """Note the pairs that the port draws elsewhere in `redrawn`; what is found without them.

        `exits` gains the calls of layers whose outputs are compared at the next layer's input.
        """
        gross = self._find_gross(found)
        if not gross and not find_suspects(found.failures, self._loose):
            return found
        agree = self._passes.outputs_agree()
        found = self._without_gross(found, exits, ()) if agree else found
        known: dict[frozenset[str], Findings] = {frozenset(): found}

        def trial(given_up: Collection[str]) -> Trialled:
            found = known[frozenset(given_up)] = self._isolate(given_up, exits)
            return found.trialled

        self.redrawn = find_redrawn(trial, self._pairing.pairs, self._loose, found.trialled, agree=agree)
        found = known.get(frozenset(self.redrawn), found)
        return self._without_gross(found, exits, self.redrawn) if agree and self.redrawn else found

    def _without_gross(self, found: Findings, exits: dict[Call, Key | None], given_up: Collection[str]) -> Findings:
        """What is found where outputs that are something quite else are compared at the next layer's input, if that is
        all right; `exits` gains their calls then."""
        gross = dict.fromkeys(self._find_gross(found))
        if gross:
            without = self._isolate(given_up, exits | gross)
            if without.failures <= found.failures and not without.trialled.misshapen:
                exits |= gross
                return without
        return found

    def _find_gross(self, found: Findings) -> list[Call]:
        """Calls of layers with parameters that give something quite else: where outputs agree, they end elsewhere."""
        return [
            Call(layer.port, layer.call)
            for layer in found.failing
            if layer.site == OUTPUT_SITE
            and layer.path not in self._loose
            and layer.port
            and layer.comparison.relative >= GROSS
        ]


def _find_slight(found: Findings) -> set[Failure]:
    """What fails by no more than a scalar that is the same in float32 can make of it."""
    return {failure(layer) for layer in found.failing if layer.comparison.relative <= GREATEST}


def _find_loose(
    pairs: Mapping[str, str], ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> dict[str, bool]:
    """The pairs that need not correspond, in whatever way a port is written, and whether one has own parameters."""
    found = {}
    for path, target in pairs.items():
        owning = [info for info in (ours[path], theirs[target]) if info.tensors]
        if path and not any(info.is_leaf for info in owning):
            found[path] = bool(owning)
    return found


def _find_opaque(
    boundaries: Boundaries, ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> frozenset[str]:
    """The port's layers with parameters of which one side is of a class of the user's own, or has an activation."""
    found = set()
    for target, path in boundaries.exits.items():
        pair = ours[path], theirs[target]
        if all(info.is_leaf and info.tensors for info in pair) and any(is_users_own(info.module) for info in pair):
            found.add(target)
    return frozenset(found)
