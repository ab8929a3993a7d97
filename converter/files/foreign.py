"""Checkpoints with objects of foreign classes beside the weights, as training frameworks save them.

Nothing of them is imported or called: placeholders stand for them while the weights are read.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, ClassVar

from converter.files.unpickle import AllowedGlobals, ForbiddenError, PlainUnpickler, load_plain, one_line

WEIGHTS = "state_dict"
METADATA = frozenset({"meta", "message_hub", "optimizer", "param_schedulers"})
"""What mmcv and mmengine save beside `state_dict`; nowhere else is a foreign object left out."""


@dataclass(frozen=True)
class Skipped:
    """Stands in the dictionary for an entry that was left out, and names the foreign globals in it."""

    names: tuple[str, ...]


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
    file: IO[bytes], allowed: AllowedGlobals, *, path: str, persistent_load: Callable[[Any], Any] | None = None
) -> Any:
    """As `load_plain`, but a checkpoint's metadata may hold foreign objects: those entries become `Skipped`.

    Raises ForbiddenError, as `load_plain` does, if a foreign object, function or class is anywhere else, in the
    weights above all, or stands where it is not kept.
    """
    start = file.tell()
    try:
        return load_plain(file, allowed, path=path, persistent_load=persistent_load)
    except ForbiddenError as refusal:
        file.seek(start)
        return _load_sparing(file, allowed, refusal, persistent_load)


def _load_sparing(
    file: IO[bytes], allowed: AllowedGlobals, refusal: ForbiddenError, persistent_load: Callable[[Any], Any] | None
) -> dict[Any, Any]:
    unpickler = _SparingUnpickler(file, allowed, persistent_load=persistent_load)
    try:
        value = unpickler.load()
    except Exception:  # noqa: BLE001 - a hostile pickle can make the machine raise anything
        raise refusal from None
    if not isinstance(value, dict) or not isinstance(value.get(WEIGHTS), dict):
        raise refusal
    found = {key: set(_names(value[key])) for key in value if key in METADATA}
    kept = {key: item for key, item in value.items() if key not in found}
    if any(_names(kept)) or set().union(*found.values()) != set(unpickler.foreign):
        raise refusal
    for key, names in found.items():
        if names:
            value[key] = Skipped(tuple(one_line(name) for name in dict.fromkeys(unpickler.foreign) if name in names))
    return value


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
