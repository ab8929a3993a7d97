"""Many tensor names in few words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LISTED = 6
SHOWN = 400
"""Names in a summary, and characters of each."""
NUMBER = re.compile(r"(?<![0-9])(?:0|[1-9][0-9]{0,8})(?![0-9])")
"""As PyTorch writes an index; `01` is no number, and neither is one of hostile length."""


def count(number: int, noun: str, singular: str = "", plural: str = "") -> str:
    """`1 weight differs`, `2 weights differ`: `count(n, "weight", " differs", " differ")`; `2 classes`."""
    return f"{number} {noun}{singular}" if number == 1 else f"{number} {noun}{'e' * noun.endswith('s')}s{plural}"


def collapse(names: Iterable[str]) -> dict[str, int]:
    """Names with their numbers collapsed -> how many: `layer3.{0…22}.bn1.weight`.

    Names that differ only in numbers become one; each number becomes the range of its values.
    """
    groups: dict[tuple[str, ...], list[list[int]]] = {}
    for name in names:
        numbers = [int(number) for number in NUMBER.findall(name)]
        groups.setdefault(tuple(NUMBER.split(name)), []).append(numbers)
    return {_range(words, rows): len(rows) for words, rows in groups.items()}


def summarize(names: Sequence[str]) -> str:
    """At most `LISTED` collapsed names on one line, and how many more there are."""
    collapsed = [name if len(name) <= SHOWN else f"{name[:SHOWN]}…" for name in collapse(names)]
    more = len(collapsed) - LISTED
    return ", ".join(collapsed[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _range(words: Sequence[str], rows: Sequence[Sequence[int]]) -> str:
    text = words[0]
    for column, word in zip(zip(*rows, strict=True), words[1:], strict=True):
        low, high = min(column), max(column)
        text += (str(low) if low == high else f"{{{low}…{high}}}") + word
    return text
