"""Checkpoints with objects of foreign classes beside the weights, as training frameworks save them.

Nothing of them is imported or called: placeholders stand for them while the weights are read.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from converter.files.dangers import is_dangerous
from converter.files.unpickle import AllowedGlobals, ForbiddenError, PlainUnpickler, Readable, load_plain, one_line

WEIGHTS = "state_dict"
METADATA = frozenset({"meta", "message_hub", "optimizer", "param_schedulers"})
"""What mmcv and mmengine save beside `state_dict`, where anything may be."""


@dataclass(frozen=True)
class Skipped:
    """Stands in the dictionary for an entry that was left out, and names the foreign globals in it.

    `refusal` is what to raise where the entry is needed.
    """

    names: tuple[str, ...]
    refusal: ForbiddenError


class _Foreign:
    """A foreign object: its class's name, and whatever it was made of, so that nothing hides in it."""

    name = ""
    parts: list[Any]

    def __new__(cls, *arguments: Any, **_: Any) -> _Foreign:
        instance = object.__new__(cls)
        instance.parts = list(arguments)
        return instance

    def __setitem__(self, key: Any, value: Any) -> None:
        self.parts += (key, value)

    def append(self, item: Any) -> None:
        self.parts.append(item)

    add = append

    def extend(self, items: Any) -> None:
        self.parts += items


class _SparingUnpickler(PlainUnpickler):
    """Puts a `_Foreign` for each foreign object, and for whatever a foreign function would have returned."""

    dispatch: ClassVar[dict[int, Any]] = dict(PlainUnpickler.dispatch)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.foreign: list[str] = []  # not `forbidden`, which stops every call

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        self.foreign.append(f"{module}.{name}")
        return type("_Foreign", (_Foreign,), {"name": f"{module}.{name}"})

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        self.spend(arguments)
        foreign = isinstance(function, _Foreign) or _is_foreign_class(function)
        self.stack[-1] = _Foreign(function, *arguments) if foreign else function(*arguments)

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self) -> None:
        if isinstance(self.stack[-2], _Foreign):
            self.stack[-2].append(self.stack.pop())
        else:
            super().load_build()

    dispatch[pickle.BUILD[0]] = load_build


def load_weights(
    file: Readable,
    allowed: AllowedGlobals,
    *,
    path: str,
    weights: tuple[type, ...],
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """As `load_plain`, but foreign objects may lie beside the weights: those entries become `Skipped`.

    Raises ForbiddenError, as `load_plain` does, if a foreign object, function or class stands where it is not
    kept (around the dictionaries, as a key, in a tensor), or in every dictionary of `weights`, what stands for
    tensors, and where one is that was made to run code. Whoever takes a dictionary raises a `Skipped.refusal` in it.
    """
    start = file.tell()
    try:
        return load_plain(file, allowed, path=path, persistent_load=persistent_load)
    except ForbiddenError as refusal:
        file.seek(start)
        return _load_sparing(file, allowed, refusal, weights, persistent_load)


def _load_sparing(
    file: Readable,
    allowed: AllowedGlobals,
    refusal: ForbiddenError,
    weights: tuple[type, ...],
    persistent_load: Callable[[Any], Any] | None,
) -> dict[Any, Any]:
    unpickler = _SparingUnpickler(file, allowed, persistent_load=persistent_load)
    try:
        value = unpickler.load()
    except Exception:  # noqa: BLE001 - a hostile pickle can make the machine raise anything
        raise refusal from None
    order = list(dict.fromkeys(unpickler.foreign))
    if not isinstance(value, dict) or _leave_out(value, order, refusal) != set(order):
        raise refusal
    if any(is_dangerous(name) for name in _names_that_matter(value)):
        raise refusal
    if not any(_holds_only_weights(dictionary, weights) for dictionary in _dictionaries(value)):
        raise refusal
    return value


def _leave_out(value: dict[Any, Any], order: list[str], refusal: ForbiddenError) -> set[str]:
    """Put a `Skipped` for each entry with foreign names; in a dictionary without such keys, for its entries.

    Returns the names found. `order` is the file's.
    """
    found: set[str] = set()
    for current in _dictionaries(value):
        for key, item in current.items():
            if isinstance(item, dict) and not any(_names(list(item))):
                continue
            if names := set(_names(item)):
                found |= names
                current[key] = Skipped(tuple(one_line(name) for name in order if name in names), refusal)
    return found


def _names_that_matter(value: dict[Any, Any]) -> Iterator[str]:
    """Foreign names in what was left out, but for what mmcv and mmengine keep beside their weights."""
    for key, item in value.items():
        if not (key in METADATA and isinstance(value.get(WEIGHTS), dict)):
            held = [item] if isinstance(item, Skipped) else []
            nested = _dictionaries(item) if isinstance(item, dict) else ()
            held += [inner for dictionary in nested for inner in dictionary.values() if isinstance(inner, Skipped)]
            for skipped in held:
                yield from skipped.names


def _dictionaries(value: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    """`value` and every dictionary directly in one, each once; what is in one is looked at after it was given."""
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            pending += [item for item in current.values() if isinstance(item, dict)]


def _holds_only_weights(value: dict[Any, Any], weights: tuple[type, ...]) -> bool:
    """Whether a dictionary holds weights and no foreign object."""
    items = value.values()
    return any(isinstance(item, weights) for item in items) and not any(isinstance(item, Skipped) for item in items)


def _names(value: Any) -> Iterator[str]:
    """Names of all foreign globals in `value`, however deep. A file may hold an object in itself."""
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if _is_foreign_class(current):
            yield current.name
        elif isinstance(current, _Foreign):
            if current.name:
                yield current.name
            pending += current.parts
        elif isinstance(current, dict):
            pending += [*current.keys(), *current.values()]
        elif isinstance(current, (list, tuple, set, frozenset)):
            pending += current


def _is_foreign_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, _Foreign)
