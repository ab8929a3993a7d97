"""Many tensor names in few words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LISTED = 6


def collapse(names: Iterable[str]) -> dict[str, int]:
    """Names with their numbers collapsed -> how many: `layer3.{0…22}.bn1.weight`.

    Names that differ only in numbers become one; each number becomes the range of its values.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    return {_range(pattern, members): len(members) for pattern, members in groups.items()}


def summarize(names: Sequence[str]) -> str:
    """At most `LISTED` collapsed names on one line, and how many more there are."""
    collapsed = list(collapse(names))
    more = len(collapsed) - LISTED
    return ", ".join(collapsed[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _range(pattern: str, members: Sequence[str]) -> str:
    columns = zip(*(map(int, re.findall(r"\d+", name)) for name in members), strict=True)
    for column in columns:
        low, high = min(column), max(column)
        pattern = pattern.replace("#", str(low) if low == high else f"{{{low}…{high}}}", 1)
    return pattern
