"""From what stands for arrays in a pickle to the arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from converter.files.arrays import PickledArray


def resolve(
    value: Any, convert: Callable[[Any], Any], prepare: Callable[[dict[Any, Any]], None] = lambda _: None
) -> Any:
    """`value` with NumPy's arrays, and what `convert` makes one, in its (nested) dictionaries.

    `prepare` may change each dictionary before that.

    Each dictionary is visited once: a hostile file may hold one in itself, or a billion times.
    """

    def change(item: Any) -> Any:
        return convert(item.array if isinstance(item, PickledArray) and item.array is not None else item)

    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if id(current) in seen or not isinstance(current, (dict, list, tuple)):
            continue
        seen.add(id(current))
        if isinstance(current, dict):
            prepare(current)
            for key, item in current.items():
                current[key] = change(item)
        pending += [item for item in _items(current) if isinstance(item, (dict, list, tuple))]
    return change(value)


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
