"""Where a port draws the boundaries of its modules elsewhere, and is the same function all the same.

A container that leaves its activation to the code around it gives another output than its counterpart, one ReLU used
three times has other calls than three, a sum may be handed its terms in another order. Such pairs prove nothing. Only
layers with parameters, and the network itself, must correspond: what is handed to each of them is compared too, so that
every mistake shows there, whichever of the other pairs are followed. Those others say more exactly where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from parity.engine.passes import CALLS, Failure, Findings
from parity.verdicts.report import INPUT_SITE

Trial = Callable[[Mapping[str, str]], Findings]
Value = TypeVar("Value")


def find_redrawn(trial: Trial, pairs: Mapping[str, str], loose: Mapping[str, bool], whole: Findings) -> set[str]:
    """Torch paths of the pairs that are to be given up, since the port draws them elsewhere.

    `trial` compares, isolated, with some of the `pairs`; with all it finds `whole`. `loose` are those that may be
    given up, and whether one has parameters of its own. A suspect is kept if without it something else is accused that
    it explains: then it is wrong, not drawn elsewhere.
    """
    trial = _remembering(trial, {frozenset(pairs): whole})
    redrawn: set[str] = set()
    kept: set[str] = set()
    found = whole.failures
    while suspects := find_suspects(found, _without(loose, redrawn | kept)):
        explaining = _find_explaining(trial, _without(pairs, redrawn), suspects, found)
        kept |= explaining
        if suspects - explaining:
            redrawn |= suspects - explaining
            found = trial(_without(pairs, redrawn)).failures
    return redrawn


def find_suspects(failures: Collection[Failure], loose: Mapping[str, bool]) -> set[str]:
    """The loose pairs that gave something else than torch's, or were called otherwise; else those that were handed it.

    Parameters that are used less often are a mistake, whether the module's own or those of the layers inside.
    """
    miscalled = {path for path, _, site, _ in failures if site == CALLS}
    outputs = {path for path, _, site, _ in failures if not site.startswith(INPUT_SITE) and site != CALLS}
    inputs = {site.removeprefix(INPUT_SITE) for _, _, site, _ in failures if site.startswith(INPUT_SITE)}
    unused = [path for path in miscalled if loose.get(path, True)]
    astray = {path for path in miscalled if not any(f"{other}.".startswith(f"{path}.") for other in unused)}
    return (outputs | astray) & loose.keys() or inputs & loose.keys()


def _find_explaining(trial: Trial, pairs: Mapping[str, str], suspects: set[str], found: set[Failure]) -> set[str]:
    """Those of `suspects` that take failures upon themselves which appear if all are given up.

    One of each module around them is followed again at a time, the innermost first. Where something of another shape is
    handed on around a suspect, whether or not it is followed, its own fault could not show: it is kept too, unless it
    is called another number of times, as one ReLU used for all.
    """
    given_up = set(suspects)
    without = trial(_without(pairs, given_up))
    fresh = {failure for failure in without.failures - found if not _is_inherited(failure, suspects, found)}
    unjudged = {accused for accused, _, site, _ in without.misshapen & found if site.startswith(INPUT_SITE)}
    miscalled = {path for path, _, site, _ in found if site == CALLS}
    groups: dict[str, list[str]] = {}
    for suspect in sorted(suspects, key=lambda path: -path.count(".")):
        container = _find_container(suspect, _without(pairs, suspects))
        if container in unjudged and suspect not in miscalled:
            given_up.remove(suspect)
        elif any(container == accused for accused, *_ in fresh):
            groups.setdefault(container, []).append(suspect)
    for number in range(max(map(len, groups.values()), default=0)):
        tried = {container: group[number] for container, group in groups.items() if number < len(group)}
        left = trial(_without(pairs, given_up - set(tried.values()))).failures
        for container, suspect in tried.items():
            before, after = ({one for one in failures if one[0] == container} for failures in (fresh, left))
            if before - after and after <= before | found:
                given_up.remove(suspect)
                fresh -= before - after
    return suspects - given_up


def _is_inherited(failure: Failure, suspects: Collection[str], found: Collection[Failure]) -> bool:
    """Whether a suspect's own input, which was wrong when it was followed, now reaches a layer inside.

    The suspect, given the right input, had handed that layer what it should.
    """
    accused, call, site, name = failure
    inner = site.removeprefix(INPUT_SITE)
    return not any((site, name) == one[2:] for one in found) and any(
        inner.startswith(f"{suspect}.") and (accused, call, f"{INPUT_SITE}{suspect}", name) in found
        for suspect in suspects
    )


def _remembering(trial: Trial, known: dict[frozenset[str], Findings]) -> Trial:
    """`trial`, which runs both networks, only for pairs that are not yet `known`."""

    def remembered(pairs: Mapping[str, str]) -> Findings:
        key = frozenset(pairs)
        if key not in known:
            known[key] = trial(pairs)
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
