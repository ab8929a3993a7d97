"""Where a port draws the boundaries of its modules elsewhere, and is the same function all the same.

A container that leaves its activation to the code around it gives another output than its counterpart, one ReLU used
three times has other calls than three, a sum may be handed its terms in another order. Such pairs prove nothing. Only
layers with parameters, and the network itself, must correspond: what is handed to each of them is compared too, so that
every mistake shows there, whichever of the other pairs are followed. Those others say more exactly where it is.

An example. The reference's block holds `norm1, relu1, norm2, relu2` and gives what `relu2` gives; the port's has one
`relu` for both and leaves the second use to the code around the block. Followed are the pairs block–block, norm1–norm1,
norm2–norm2, relu1–relu. Two fail: the block's output, and the second call of `relu`, which `relu1` does not have. Both
are loose: neither owns parameters. The harness compares once more without the two. All that is handed to norm1, norm2
and the layer after the block is the reference's: so the two were no counterparts, and are given up. Had the port left
an activation out, the layer after it would now be handed something else, and going back to the pair that explains it
would name the block.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

from parity.engine.stream import Key
from parity.pairing.propose import Pairing
from parity.verdicts.report import INPUT_SITE

CALLS = "calls"
"""Site of a call that only one side makes."""
MOST_TRIALS = 8
"""Comparisons that tell what a port draws elsewhere from what is wrong. What is undecided then stays accused."""


class Call(NamedTuple):
    """Call number `number` of the port's module at `path`."""

    path: str
    number: int


class Failure(NamedTuple):
    """Something that is wrong: the accused module (the reference's path) and call, where, and on which input.

    `site` is a `Layer`'s, or CALLS.
    """

    path: str
    call: int
    site: str
    input: str


@dataclass(frozen=True)
class Boundaries:
    """Which of the port's inputs and outputs are which of the reference's.

    `entries` and `exits` map the port's path to the reference's, call by call. `found` are the exits that are elsewhere
    (`parity.engine.search`); None where an output is compared at the next layer's input.
    """

    entries: Mapping[str, str]
    exits: Mapping[str, str]
    found: Mapping[Call, Key | None] = field(default_factory=dict)
    opaque: frozenset[str] = frozenset()
    """The port's layers of which one side is of the user's own class, which may do more than the other's."""

    def exit(self, call: Call) -> Key | None:
        """The reference's tensors that the output of `call` is compared with."""
        if call in self.found:
            return self.found[call]
        path = self.exits.get(call.path)
        return None if path is None else Key("output", path, call.number)

    def entry(self, call: Call) -> Key | None:
        """The reference's tensors that the input of `call` is compared with, and replaced by."""
        path = self.entries.get(call.path)
        return None if path is None else Key("input", path, call.number)

    def name(self, path: str) -> str:
        """The reference's path of the port's module, or else its own."""
        return self.exits.get(path, self.entries.get(path, path))

    def is_elsewhere(self, path: str, number: int) -> bool:
        """Whether what ends in that call of the reference's module is compared in another place."""
        return any(self.exits.get(call.path) == path and call.number == number for call in self.found)

    def port_of(self, path: str) -> str | None:
        """The port's path of the reference's module."""
        return self._ports.get(path)

    @cached_property
    def _ports(self) -> dict[str, str]:
        """The port's path, the first where there are several, by the reference's; its exits before its entries."""
        ends = [*self.exits.items(), *self.entries.items()]
        return {own: target for target, own in reversed(ends)}

    @property
    def paths(self) -> list[str]:
        """The port's modules that are looked at."""
        own = dict.fromkeys([*self.entries, *self.exits, *(call.path for call in self.found)])
        return list(own)

    @property
    def reference_paths(self) -> set[str]:
        """The reference's modules that are looked at."""
        return {*self.entries.values(), *self.exits.values(), *(key.path for key in self.found.values() if key)}

    @property
    def accusable(self) -> set[str]:
        """The reference's paths that can be accused: of the modules that are looked at."""
        return {self.name(path) for path in self.paths}

    def only(self, paths: Collection[str]) -> Boundaries:
        """Those of these reference's paths alone."""
        kept = {target for target in self.paths if self.name(target) in paths}
        return Boundaries(
            {target: path for target, path in self.entries.items() if target in kept},
            {target: path for target, path in self.exits.items() if target in kept},
            {call: key for call, key in self.found.items() if call.path in kept},
            self.opaque,
        )

    @property
    def reference_exits(self) -> set[str]:
        """The reference's modules of which both sides must make as many calls."""
        return set(self.exits.values())


def draw_boundaries(
    pairing: Pairing,
    given_up: Collection[str] = (),
    found: Mapping[Call, Key | None] | None = None,
    opaque: frozenset[str] = frozenset(),
) -> Boundaries:
    """The boundaries of the pairs that are not `given_up` (reference's paths), and of the units."""
    entries = {target: path for path, target in pairing.pairs.items() if path not in given_up}
    exits = dict(entries)
    for unit in pairing.units:
        entries[unit.port[0]] = unit.reference[0]
        exits[unit.port[-1]] = unit.reference[-1]
    return Boundaries(entries, exits, found or {}, opaque)


Trial = Callable[[Collection[str]], "Trialled"]
"""Compares, isolated, without the pairs of these reference's paths."""
Value = TypeVar("Value")


class Trialled(NamedTuple):
    """What a trial found wrong, and what of it cannot even be measured, such as another shape."""

    failures: set[Failure]
    misshapen: set[Failure]


def find_redrawn(
    trial: Trial, pairs: Collection[str], loose: Mapping[str, bool], whole: Trialled, *, agree: bool
) -> set[str]:
    """The reference's paths of the pairs that are to be given up, since the port draws them elsewhere.

    `trial` compares without some of the `pairs`; without none it finds `whole`. `loose` are those that may be given up,
    and whether one has parameters of its own. Where the networks' outputs `agree`, all suspects are. Else one is kept
    if without it something else is accused that it explains: then it is wrong, not drawn elsewhere. One that is handed
    another shape, and hands on another shape of what the reference is handed, begins elsewhere.
    """
    trial = _remembering(trial, {frozenset(): whole})
    redrawn = _find_shifted(whole.misshapen, loose)
    kept: set[str] = set()
    found = trial(redrawn).failures
    while suspects := find_suspects(found, _without(loose, redrawn | kept)):
        try:
            explaining = set() if agree else _find_explaining(trial, set(pairs) - redrawn, redrawn, suspects, found)
            kept |= explaining
            if suspects - explaining:
                redrawn |= suspects - explaining
                found = trial(redrawn).failures
        except TooMany:
            break
    return redrawn


def _find_shifted(misshapen: Collection[Failure], loose: Collection[str]) -> set[str]:
    """The loose pairs that are handed something of another shape, and hand on something of another shape."""
    handed = {failure.site.removeprefix(INPUT_SITE) for failure in misshapen if failure.site.startswith(INPUT_SITE)}
    return {failure.path for failure in misshapen if failure.path in handed} & set(loose)


class TooMany(Exception):  # noqa: N818 - no error
    """The number of trials is spent."""


def find_suspects(failures: Collection[Failure], loose: Mapping[str, bool]) -> set[str]:
    """The loose pairs that gave something else than the reference's, or were called otherwise; else those that were
    handed it.

    Parameters that are used less often are a mistake, whether the module's own or those of the layers inside.
    """
    miscalled = {failure.path for failure in failures if failure.site == CALLS}
    outputs = {f.path for f in failures if not f.site.startswith(INPUT_SITE) and f.site != CALLS}
    inputs = {f.site.removeprefix(INPUT_SITE) for f in failures if f.site.startswith(INPUT_SITE)}
    unused = [path for path in miscalled if loose.get(path, True)]
    astray = {path for path in miscalled if not any(f"{other}.".startswith(f"{path}.") for other in unused)}
    return (outputs | astray) & loose.keys() or inputs & loose.keys()


def _find_explaining(
    trial: Trial, pairs: set[str], redrawn: set[str], suspects: set[str], found: set[Failure]
) -> set[str]:
    """Those of `suspects` that take failures upon themselves which appear if all are given up.

    One of each module around them is followed again at a time, the innermost first. Where something of another shape is
    handed on around a suspect, whether or not it is followed, its own fault could not show: it is kept too, unless it
    is called another number of times, as one ReLU used for all.
    """
    given_up = set(suspects)
    without = trial(redrawn | given_up)
    fresh = {failure for failure in without.failures - found if not _is_inherited(failure, suspects, found)}
    unjudged = {failure.path for failure in without.misshapen & found if failure.site.startswith(INPUT_SITE)}
    miscalled = {failure.path for failure in found if failure.site == CALLS}
    groups: dict[str, list[str]] = {}
    for suspect in sorted(suspects, key=lambda path: -path.count(".")):
        container = _find_container(suspect, pairs - suspects)
        if container in unjudged and suspect not in miscalled:
            given_up.remove(suspect)
        elif any(container == failure.path for failure in fresh):
            groups.setdefault(container, []).append(suspect)
    for number in range(max(map(len, groups.values()), default=0)):
        tried = {container: group[number] for container, group in groups.items() if number < len(group)}
        left = trial(redrawn | (given_up - set(tried.values()))).failures
        for container, suspect in tried.items():
            before, after = ({one for one in failures if one.path == container} for failures in (fresh, left))
            if before - after and after <= before | found:
                given_up.remove(suspect)
                fresh -= before - after
    return suspects - given_up


def _is_inherited(failure: Failure, suspects: Collection[str], found: Collection[Failure]) -> bool:
    """Whether a suspect's own input, which was wrong when it was followed, now reaches a layer inside.

    The suspect, given the right input, had handed that layer what it should.
    """
    inner = failure.site.removeprefix(INPUT_SITE)
    return not any((failure.site, failure.input) == (one.site, one.input) for one in found) and any(
        inner.startswith(f"{suspect}.") and failure._replace(site=f"{INPUT_SITE}{suspect}") in found
        for suspect in suspects
    )


def _remembering(trial: Trial, known: dict[frozenset[str], Trialled]) -> Trial:
    """`trial`, which runs both networks, only for what is not yet `known`. Raises TooMany after MOST_TRIALS."""
    most = len(known) + MOST_TRIALS

    def remembered(given_up: Collection[str]) -> Trialled:
        key = frozenset(given_up)
        if key not in known:
            if len(known) == most:
                raise TooMany
            known[key] = trial(given_up)
        return known[key]

    return remembered


def _find_container(path: str, followed: Collection[str]) -> str:
    while path:
        path = path.rpartition(".")[0]
        if path in followed:
            break
    return path


def _without(pairs: Mapping[str, Value], paths: Collection[str]) -> dict[str, Value]:
    return {path: value for path, value in pairs.items() if path not in paths}
