"""JSON that people or machines wrote: bounded, and held to a schema before anything of it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.errors import InputError
from converter.files.unpickle import one_line

Schema = Mapping[str, Any]
"""JSON Schema, draft 2020-12; an integer is written without a point."""

LARGEST = 24 << 20
"""Bytes of a document."""
VALUES = 850_000
"""Values in a document, about: short ones take up to 250 bytes of memory. A recording of ResNet-101 has 41,000 for each
input."""
DEPTH = 40
DIMENSIONS = 32
"""Of a tensor, at most: NumPy 1's."""
SIZES: Schema = {
    "type": "array",
    "maxItems": DIMENSIONS,
    "items": {"type": "integer", "minimum": 0, "maximum": 1 << 48},
}
"""A tensor's shape."""
NUMBER_DTYPES = (
    *("float16", "float32", "float64", "bool"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
"""Names of the dtypes of tensors: NumPy takes others for records, dates or objects."""
DTYPE: Schema = {"enum": list(NUMBER_DTYPES)}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
BASE64: Schema = {"type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$"}


def nullable(schema: Schema) -> Schema:
    """`schema`, or null."""
    return {"if": {"not": {"type": "null"}}, "then": schema}  # unlike `anyOf`, it says what is wrong within


def record(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = (), more: bool = False) -> Schema:
    """An object with these properties, all but the `optional` ones required, and no others unless `more`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": more}


def read_document(path: Path, schema: Schema, what: str, *, largest: int = LARGEST) -> Any:
    """The JSON value in the file at `path`, which is a `what` ("manifest") of `schema`.

    Raises InputError, one line that says where it is wrong, for what is no regular file, larger than `largest` bytes,
    not UTF-8, not JSON, nested over 40 deep, or not of the schema; so are NaN and a name that stands twice.

    pairs = read_document(Path("pairs.json"), {"type": "object"}, "mapping")
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is a folder" if path.is_dir() else "it is not a regular file")
        if (size := path.stat().st_size) > largest:
            raise ValueError(f"it has more than {largest} bytes")
        text = path.read_text(encoding="utf-8") if size else ""  # the kernel's own files have none, and may be endless
        check_length(text)
        value = json.loads(text, object_pairs_hook=_make_object, parse_constant=_refuse_constant)
        _check_depth(value)
        _check_schema(value, schema)
    except RecursionError:
        raise InputError(f"{path}: not a readable {what} (it is nested too deeply)") from None
    except OSError as error:
        raise InputError(f"{path}: not a readable {what} ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not a readable {what} ({one_line(str(error))})") from None
    return value


def check_length(text: str) -> None:
    """Raise ValueError if `text` has more than VALUES values of JSON."""
    if text.count(",") + text.count("[") + text.count("{") > VALUES:
        raise ValueError(f"it has more than {VALUES} values")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict[str, Any]()
    for name, item in pairs:
        if name in value:
            raise ValueError(f"{one_line(name)} stands there twice")
        value[name] = item
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _check_schema(value: Any, schema: Schema) -> None:
    from jsonschema import Draft202012Validator, validators  # takes a twentieth of a second

    def is_whole(_: Any, number: Any) -> bool:
        return isinstance(number, int) and not isinstance(number, bool)

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", is_whole)
    extend: Any = validators.extend
    kind = extend(Draft202012Validator, type_checker=checker)
    error = next(kind(schema).iter_errors(value), None)
    if error is not None:
        raise ValueError(f"{one_line(error.json_path)}: {one_line(error.message)}")
