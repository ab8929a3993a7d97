"""Reading pickles as data: exact names only, nothing is imported or called that is not listed here."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol

from converter.errors import InputError

AllowedGlobals = Mapping[tuple[str, str], Any]
Whence = Literal[0, 1, 2]
"""What a place in a file is counted from."""

KEY_PARTS = 1000
KEY_DEPTH = 50
"""Of a tuple that is hashed: Python's own `hash` crashes on a deep one and never ends on one doubled sixty times."""
KEY_NUMBER = 1 << 53
"""Python's hash of greater numbers is a remainder, so that thousands can have one, and each is compared with all."""
COUNTED = (str, bytes, bytearray, memoryview, tuple, list, dict, set)
LARGE = 256
"""Items of an argument from which on it is counted: one that a file repeats by reference is copied each time."""
OPCODES = 500_000
BYTES_PER_OPCODE = 128
"""A pickle may have so many opcodes, and one more for so many bytes: each can make an object of 200 bytes."""
SHOWN = 200
"""Characters of a name from a file that a message shows."""


class Readable(Protocol):
    """What pickles are read from: a binary file, or a `MappedFile`."""

    def read(self, nbytes: int = ..., /) -> bytes | memoryview: ...

    def readline(self) -> bytes: ...

    def seek(self, offset: int, whence: Whence = ..., /) -> int: ...

    def tell(self) -> int: ...


class ForbiddenError(InputError):
    """A pickle names globals that are not allowed."""


class _Inert:
    """Stands for an object of a forbidden class while the rest is read to list every one. Does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...

    def add(self, item: Any) -> None: ...


class _Limited(dict[int, Any]):
    """The machine's table of opcodes, which can be looked up only so often."""

    def __init__(self, table: dict[int, Any], limit: int) -> None:
        super().__init__(table)
        self.left = limit

    def __getitem__(self, opcode: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise pickle.UnpicklingError("it has more opcodes than weights need, and would not fit into memory")
        return super().__getitem__(opcode)


class PlainUnpickler(pickle._Unpickler):
    """Resolves the globals in `allowed` to the given stand-ins and remembers all others as `forbidden`.

    Once there is one, nothing is called any more, and the rest is read only for its names. Based on
    the pickle machine written in Python: the one in C allocates a memo as large as a file asks for,
    and its BUILD sets attributes of the stand-ins themselves.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    append: Callable[[Any], None]

    def __init__(
        self,
        file: Readable,
        allowed: AllowedGlobals,
        *,
        persistent_load: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, encoding="latin1")  # type: ignore[arg-type]  # a view will do, too
        self.allowed = allowed
        self.forbidden: list[str] = []
        self._persistent_load = persistent_load
        nbytes = _count_bytes(file)
        self._credit = 2 * nbytes
        self.dispatch = _Limited(self.dispatch, OPCODES + nbytes // BYTES_PER_OPCODE)  # type: ignore[misc]

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
        self.spend(arguments)
        self.stack[-1] = _Inert() if self.forbidden else self.stack[-1](*arguments)

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self) -> None:
        """Hand its state to an object whose class takes one; other attributes (`_metadata`) are not weights."""
        state, instance = self.stack.pop(), self.stack[-1]
        set_state = getattr(type(instance), "__setstate__", None)
        if set_state is not None and not self.forbidden:
            set_state(instance, state)

    dispatch[pickle.BUILD[0]] = load_build

    def load_setitem(self) -> None:
        """Put one item into a dictionary."""
        item, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][check_key(key)] = item

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        """Put several items into a dictionary."""
        items = self._pop_mark()
        for key, item in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][check_key(key)] = item

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        """Make a dictionary of what lies above the mark."""
        items = self._pop_mark()
        self.append({check_key(key): item for key, item in zip(items[::2], items[1::2], strict=True)})

    dispatch[pickle.DICT[0]] = load_dict

    def load_additems(self) -> None:
        """Put several items into a set."""
        items = self._pop_mark()
        for item in items:
            self.stack[-1].add(check_key(item))

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        """Make a frozen set of what lies above the mark."""
        self.append(frozenset(map(check_key, self._pop_mark())))

    dispatch[pickle.FROZENSET[0]] = load_frozenset

    def _pop_mark(self) -> list[Any]:
        items: list[Any] = self.pop_mark()  # type: ignore[attr-defined]
        return items

    def spend(self, arguments: Any) -> None:
        """Count what a call may copy. Raises UnpicklingError once that is twice the file."""
        for argument in arguments:
            size = len(argument) if isinstance(argument, COUNTED) else 0
            self._credit -= size if size >= LARGE else 0
        if self._credit < 0:
            raise pickle.UnpicklingError("it repeats a large value so often that it would not fit into memory")

    # A bytearray of the size that a file claims is filled with zeros before the file is found to end.
    dispatch[pickle.BYTEARRAY8[0]] = dispatch[pickle.BINBYTES8[0]]


def load_plain(
    file: Readable,
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
        ends = "" if file.read(1) else "; it ends too early: download or copy it again"
        failure = InputError(f"{path}: not a readable pickle ({one_line(reason)}){ends}")
    if unpickler.forbidden:
        names = ", ".join(map(one_line, dict.fromkeys(unpickler.forbidden)))
        raise ForbiddenError(
            f"{path}: refused, the pickle names code that a checkpoint does not need: {names}; "
            "save only the state dict and convert that"
        )
    if failure is not None:
        raise failure
    return value


def check_key(key: Any) -> Any:
    """`key`, unless hashing it could take forever or more of the stack than there is: then UnpicklingError."""
    if not isinstance(key, tuple):
        _check_number(key)
        return key
    pending, parts = [(key, 1)], 0
    while pending:
        current, depth = pending.pop()
        parts += len(current)
        if parts > KEY_PARTS or depth > KEY_DEPTH:
            raise pickle.UnpicklingError("a key that is a tuple of too many parts, or nested too deeply")
        for item in current:
            _check_number(item)
        pending += [(item, depth + 1) for item in current if isinstance(item, tuple)]
    return key


def _check_number(key: Any) -> None:
    if isinstance(key, complex) or (isinstance(key, int | float) and abs(key) > KEY_NUMBER):
        raise pickle.UnpicklingError("a key that is a complex or a very large number")


def _count_bytes(file: Readable) -> int:
    """Bytes from here to the end of `file`; in an archive's entry, where only reading tells, of the whole entry."""
    position = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(position)
    return size - position


def one_line(text: str) -> str:
    """`text`, which may come from a hostile file, as something short that can be printed on one line."""
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return text if text.isprintable() else repr(text)
