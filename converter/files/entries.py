"""Finding the state dict among whatever a training script saved around and beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files.foreign import Skipped
from converter.files.keys import find_prefix
from converter.files.kinds import is_optimiser, name_content
from converter.files.known import count_known
from converter.files.reading import UnfitReadingError
from converter.files.unpickle import one_line
from converter.names import LISTED

Where = tuple[str, ...]
"""Names of the entries that lead to a dictionary, outermost first; none for the file's own."""

WELL_KNOWN = ("state_dict", "model")
AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow|teacher)(?=$|[._])", re.IGNORECASE)
"""In the name of weights that are a running average of others."""
ROOT = "."
DEPTH = 8
DICTIONARIES = 10_000
"""So deep and so many dictionaries are looked through."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A state dict: where it is, and `sets`, the number of tensors of each that the file holds, by dotted path.

    `rule` says why it was taken, where there are several. `skipped` are entries around it that were not read.
    """

    where: Where
    state: dict[Any, Any]
    sets: Mapping[str, int]
    rule: str | None
    skipped: tuple[str, ...]


def find_state(path: Path, value: Any, entry: str | None = None) -> Found:
    """The state dict in `value`: the one at `entry`, or the only one, or the one that a rule tells.

    Raises InputError, listing what there is, if there is none, or none that is told from others.
    """
    dictionaries = dict(_walk(value))
    found = {where: state for where, state in dictionaries.items() if _count_tensors(state)}
    if not found:
        _refuse_none(path, value, dictionaries)
    sets = {name_set(where): _count_tensors(state) for where, state in found.items()}
    if entry is None:
        where, rule = _choose(path, found)
    else:
        where, rule = _look_up(path, found, entry), "--weights-entry"
    for item in found[where].values():
        for foreign in _find_skipped(item):
            raise foreign.refusal
    around = [dictionaries.get(where[:depth], {}) for depth in range(len(where))]
    skipped = [text for level, name in zip(around, where, strict=True) for text in _describe_skipped(level, name)]
    return Found(
        where=where,
        state=found[where],
        sets=sets,
        rule=rule if len(found) > 1 or entry is not None else None,
        skipped=tuple(skipped),
    )


def name_set(where: Where) -> str:
    """`model.state_dict`; the file's own entries are `.`."""
    return ".".join(where) or ROOT


def list_sets(sets: Mapping[str, int]) -> str:
    """`model (562 tensors), model_ema (562 tensors)`."""
    return ", ".join(
        f"{one_line(name)} ({count} {'tensor' if count == 1 else 'tensors'})" for name, count in sets.items()
    )


def _walk(value: Any) -> Iterator[tuple[Where, dict[Any, Any]]]:
    """Every dictionary by the names and numbers that lead there, the outermost first. An optimiser's state is none.

    What is in one is looked through once: a hostile file may hold one in itself, or a billion times.
    """
    pending: list[tuple[Where, Any]] = [((), value)] if isinstance(value, (dict, list, tuple)) else []
    seen: set[int] = set()
    for where, current in pending:  # which grows on the way
        if isinstance(current, dict):
            if is_optimiser(current):
                continue
            yield where, current
        if id(current) not in seen and len(where) < DEPTH and len(pending) < DICTIONARIES:
            seen.add(id(current))
            items = current.items() if isinstance(current, dict) else enumerate(current[:DICTIONARIES])
            inner = (((*where, str(key)), item) for key, item in items if isinstance(key, (str, int)))
            pending += [(path, item) for path, item in inner if isinstance(item, (dict, list, tuple))]


def _count_tensors(state: dict[Any, Any]) -> int:
    return sum(isinstance(item, np.ndarray) for item in state.values())


def _choose(path: Path, found: Mapping[Where, dict[Any, Any]]) -> tuple[Where, str]:
    """One of `found` and the rule that tells it. Raises InputError if none does."""
    left = list(found)
    if len(left) == 1:
        return left[0], ""
    for rule, keep in RULES.items():
        kept = keep(found, left)
        if len(kept) == 1:
            return kept[0], rule
        left = kept or left
    if len({id(found[where]) for where in left}) == 1:
        return left[0], "the same under each name"
    sets = list_sets({name_set(where): _count_tensors(state) for where, state in found.items()})
    raise InputError(f"{path}: holds several sets of weights: {sets}; choose one with --weights-entry NAME")


def _not_averaged(found: Mapping[Where, Any], left: list[Where]) -> list[Where]:
    return [where for where in left if not AVERAGED.search(name_set(where))]


def _well_known(found: Mapping[Where, Any], left: list[Where]) -> list[Where]:
    named = [where for where in left if where and where[-1] in WELL_KNOWN]
    depth = min(map(len, named), default=0)
    return [where for where in named if len(where) == depth]


def _of_a_family(found: Mapping[Where, dict[Any, Any]], left: list[Where]) -> list[Where]:
    return [where for where in left if _is_network(found[where])]


def _is_network(state: Mapping[Any, Any]) -> bool:
    """Whether more than half of a dictionary's keys are a CCNet's, whatever stands before them."""
    keys = [key for key in state if isinstance(key, str)]
    prefix = find_prefix(keys) if keys else ""
    return count_known(key.removeprefix(prefix) for key in keys) > len(state) / 2


def _outermost(found: Mapping[Where, Any], left: list[Where]) -> list[Where]:
    return [where for where in left if not where]


Rule = Callable[[Mapping[Where, dict[Any, Any]], list[Where]], list[Where]]
RULES: Mapping[str, Rule] = {
    "the only one that is no running average": _not_averaged,
    "the only one with a CCNet's keys": _of_a_family,
    f"called {' or '.join(WELL_KNOWN)}, as is usual": _well_known,
    "what the file holds itself": _outermost,
}
"""By what it says of the one that it leaves, each applied to what those before it left."""


def _look_up(path: Path, found: Mapping[Where, dict[Any, Any]], entry: str) -> Where:
    asked = [where for where in found if name_set(where) == entry]
    below = [where for where in found if name_set(where).startswith(f"{entry}.")]
    chosen = asked or below
    if len(chosen) == 1:
        return chosen[0]
    sets = list_sets({name_set(where): _count_tensors(found[where]) for where in chosen or found})
    where = "has several below it" if chosen else "is no set of weights in it"
    raise UnfitReadingError(f"{path}: --weights-entry {one_line(entry)} {where}; there are {sets}")


def _refuse_none(path: Path, value: Any, dictionaries: Mapping[Where, dict[Any, Any]]) -> None:
    for state in dictionaries.values():
        for skipped in _find_skipped(state):
            raise skipped.refusal
    if kind := name_content(value):
        raise InputError(f"{path}: is {kind}")
    if problem := next((text for state in dictionaries.values() for text in _find_problems(state)), None):
        raise InputError(f"{path}: holds no state dict (a dictionary of tensors): {problem}")
    what = f"only {_list_entries(value)}" if isinstance(value, dict) and value else _name(value)
    raise InputError(
        f"{path}: holds no state dict (a dictionary of tensors), {what}; save the network's state_dict() and give that"
    )


def _describe(key: Any) -> str:
    return one_line(key) if isinstance(key, str) else f"a key that is a {type(key).__name__}"


def _list_entries(value: Mapping[Any, Any]) -> str:
    listed = [f"{_describe(key)} (a {type(item).__name__})" for key, item in list(value.items())[:LISTED]]
    return ", ".join(listed) + (f" and {len(value) - LISTED} more" if len(value) > LISTED else "")


def _name(value: Any) -> str:
    if isinstance(value, dict):
        return "only an empty dictionary"
    return "one tensor without a name" if isinstance(value, np.ndarray) else f"only a {type(value).__name__}"


def _find_problems(state: Mapping[Any, Any]) -> Iterator[str]:
    for key, item in state.items():
        if problem := getattr(item, "problem", None):
            yield f"{_describe(key)} is {problem}"


def _find_skipped(value: Any) -> Iterator[Skipped]:
    """Every `Skipped` in (nested) dictionaries."""
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if isinstance(current, Skipped):
            yield current
        elif isinstance(current, dict) and id(current) not in seen:
            seen.add(id(current))
            pending += reversed(current.values())


def _describe_skipped(level: Mapping[Any, Any], taken: str) -> Iterator[str]:
    for key, item in level.items():
        names = [name for skipped in ([] if key == taken else _find_skipped(item)) for name in skipped.names]
        if names:
            yield f"{_describe(key)} ({', '.join(dict.fromkeys(names))})"
