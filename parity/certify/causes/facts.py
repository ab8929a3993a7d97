"""What can be measured of a gate's difference that nothing known explains: in which cases, and in what proportion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Case = tuple[str, Mapping[str, Array], Mapping[str, Array], float]
"""What it is called, the port's numbers, the reference's, and how far they may be apart, of the greatest."""

EXACT = 1e-6
"""Of the greatest: what varies by less is constant."""
LISTED = 3


def measure_facts(cases: Sequence[Case]) -> tuple[str, ...]:
    """Sentences about the numbers of the port beside the reference's, in all cases of a gate."""
    return (*_where(cases), *_proportions(cases))


def _where(cases: Sequence[Case]) -> Iterator[str]:
    """Which cases differ, and which numbers in them, where not all do."""
    different = {said: _names(actual, expected, limit) for said, actual, expected, limit in cases}
    found = [said for said, names in different.items() if names]
    if 0 < len(found) < len(different):
        yield f"it differs in {len(found)} of {len(different)} cases: {_list(found)}"
    names = sorted(set().union(*different.values()))
    known = set().union(*(expected for _, _, expected, _ in cases))
    if 0 < len(names) < len(known):
        yield f"it differs in {len(names)} of {len(known)} numbers: {_list(names)}"
    for said, names_of_one in ((said, actual.keys() ^ expected.keys()) for said, actual, expected, _ in cases):
        if names_of_one:
            yield f"on one side only, in {said}: {_list(sorted(names_of_one))}"
            break


def _names(actual: Mapping[str, Array], expected: Mapping[str, Array], limit: float) -> set[str]:
    """The numbers that differ."""
    both = actual.keys() & expected.keys()
    return (actual.keys() ^ expected.keys()) | {
        name
        for name in both
        if actual[name].shape != expected[name].shape
        or not np.abs(actual[name] - expected[name]).max(initial=0.0) <= limit * np.abs(expected[name]).max(initial=0.0)
    }


def _proportions(cases: Sequence[Case]) -> Iterator[str]:
    """Whether one number makes the port's of the reference's, everywhere."""
    pairs = [
        (np.ravel(actual[name]), np.ravel(array))
        for _, actual, expected, _ in cases
        for name, array in expected.items()
        if name in actual and actual[name].shape == array.shape
    ]
    if not pairs:
        return
    own, wanted = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    if not np.isfinite(own).all():
        yield f"{int((~np.isfinite(own)).sum()):,} of {own.size:,} of the port's are not finite"
        return
    difference = own - wanted
    if own.size < 2 or not difference.any() or not np.isfinite(wanted).all():
        return
    if np.ptp(difference) <= EXACT * np.abs(difference).max():
        yield f"the difference is the constant {difference[0]:.6g}"
    square = float(wanted @ wanted)
    factor = float(own @ wanted) / square if square else np.nan
    if np.abs(own - factor * wanted).max() <= EXACT * np.abs(own).max() and factor:
        yield f"it is {factor:.6g} times the reference's"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
