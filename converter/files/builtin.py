"""Python's own containers and values, as pickles name them: the exact names, and what makes each."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict
from typing import Any

from converter.files.unpickle import AllowedGlobals, check_key


def _make_ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict(_check_pairs(pairs))


def _make_counter(counts: Any = ()) -> Counter[Any]:
    return Counter(dict(_check_pairs(counts)))


def _make_set(items: Any = ()) -> set[Any]:
    for item in items:
        check_key(item)
    return set(items)


def _check_pairs(pairs: Any) -> Any:
    """`pairs`, a dictionary or key and value one by one, unless a key cannot be hashed at little cost."""
    if not isinstance(pairs, dict):
        for pair in pairs:
            check_key(pair[0])
    return pairs


def _make_tuple(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items)


def _make_complex(real: float, imaginary: float) -> complex:
    return complex(float(real), float(imaginary))


def _make_bytes(*text: Any) -> bytes:
    """Bytes as protocol 2 has them: encoded text, or (without an argument) none."""
    if not text:
        return b""
    content, encoding = text
    if not isinstance(encoding, str) or encoding not in ("latin1", "latin-1") or not isinstance(content, str):
        raise pickle.UnpicklingError("bytes in an encoding that pickle does not use")
    return content.encode("latin1")


def _make_bytearray(*content: Any) -> bytes:
    return bytes(content[0]) if content and isinstance(content[0], (bytes, memoryview)) else _make_bytes(*content)


BUILTIN: AllowedGlobals = {
    ("collections", "OrderedDict"): _make_ordered_dict,
    ("collections", "Counter"): _make_counter,
    ("_codecs", "encode"): _make_bytes,
    **{(module, "bytes"): _make_bytes for module in ("builtins", "__builtin__")},
    **{(module, "bytearray"): _make_bytearray for module in ("builtins", "__builtin__")},
    **{(module, name): _make_set for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
    **{(module, "tuple"): _make_tuple for module in ("builtins", "__builtin__")},
    **{(module, "complex"): _make_complex for module in ("builtins", "__builtin__")},
}
