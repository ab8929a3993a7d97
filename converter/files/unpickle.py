"""Reading pickles as data: exact names only, nothing is imported or called that is not listed here."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar

from converter.errors import InputError

AllowedGlobals = Mapping[tuple[str, str], Any]


class ForbiddenError(InputError):
    """A pickle names globals that are not allowed."""


class _Inert:
    """Stands for an object of a forbidden class while the rest is read to list every one. Does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...

    def add(self, item: Any) -> None: ...


class PlainUnpickler(pickle._Unpickler):
    """Resolves the globals in `allowed` to the given stand-ins and remembers all others as `forbidden`.

    Once there is one, nothing is called any more, and the rest is read only for its names. Based on
    the pickle machine written in Python: the one in C allocates a memo as large as a file asks for,
    and its BUILD sets attributes of the stand-ins themselves.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(
        self,
        file: IO[bytes],
        allowed: AllowedGlobals,
        *,
        persistent_load: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, encoding="latin1")
        self.allowed = allowed
        self.forbidden: list[str] = []
        self._persistent_load = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for `module.name`; an inert class if there is none."""
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        self.forbidden.append(f"{module}.{name}")
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        """Resolve a persistent id, which only torch's formats have."""
        if self.forbidden:
            return _Inert()
        if self._persistent_load is None:
            raise pickle.UnpicklingError("a persistent id where none belongs")
        return self._persistent_load(pid)

    def load_reduce(self) -> None:
        """Call a stand-in."""
        arguments = self.stack.pop()
        self.stack[-1] = _Inert() if self.forbidden else self.stack[-1](*arguments)

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self) -> None:
        """Hand its state to an object whose class takes one; other attributes (`_metadata`) are not weights."""
        state, instance = self.stack.pop(), self.stack[-1]
        set_state = getattr(type(instance), "__setstate__", None)
        if set_state is not None and not self.forbidden:
            set_state(instance, state)

    dispatch[pickle.BUILD[0]] = load_build
    # A bytearray of the size that a file claims is filled with zeros before the file is found to end.
    dispatch[pickle.BYTEARRAY8[0]] = dispatch[pickle.BINBYTES8[0]]


def load_plain(
    file: IO[bytes],
    allowed: AllowedGlobals,
    *,
    path: str,
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """Unpickle one object from `file`. Raises ForbiddenError naming every such global, InputError what is damaged."""
    unpickler = PlainUnpickler(file, allowed, persistent_load=persistent_load)
    failure: InputError | None = None
    value = None
    try:
        value = unpickler.load()
    except Exception as error:  # noqa: BLE001 - a hostile pickle can make the machine raise anything
        reason = str(error) if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}"
        failure = InputError(f"{path}: not a readable pickle ({one_line(reason)})")
    if unpickler.forbidden:
        names = ", ".join(map(one_line, dict.fromkeys(unpickler.forbidden)))
        raise ForbiddenError(
            f"{path}: refused, the pickle names code that a checkpoint does not need: {names}; "
            "save only the state dict and convert that"
        )
    if failure is not None:
        raise failure
    return value


def one_line(text: str) -> str:
    """`text`, which may come from a hostile file, as something that can be printed on one line."""
    return text if text.isprintable() else repr(text)
