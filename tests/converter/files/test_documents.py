"""JSON is bounded and of its schema, or refused on one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from converter.errors import InputError
from converter.files.documents import DTYPE, SHA256, SIZES, nullable, read_document, record

SCHEMA = record(
    {"count": {"type": "integer", "maximum": 9}, "dtype": DTYPE, "shape": SIZES, "hash": nullable(SHA256)},
    optional=("dtype", "shape", "hash"),
)
REFUSED = {
    '{"count": 1e3}': "$.count: 1000.0 is not of type 'integer'",
    '{"count": 1.0}': "$.count: 1.0 is not of type 'integer'",
    '{"count": true}': "$.count: True is not of type 'integer'",
    '{"count": 1000000000000000000000000000000}': "$.count: 1000000000000000000000000000000 is greater than",
    '{"count": ' + "9" * 5000 + "}": "",
    '{"count": NaN}': "NaN is no number",
    '{"count": 1, "count": 2}': "count stands there twice",
    "{" + ",".join(f'"{number % 200_000}": 0' for number in range(200_001)) + "}": "0 stands there twice",
    "[" + "[], " * 430_000 + "1]": "more than 850000 values",
    '{"count": 1, "more": 2}': "'more' was unexpected",
    "{}": "'count' is a required property",
    "[]": "is not of type 'object'",
    "": "Expecting value",
    '{"count": "' + "x" * 5_000_000 + '"}': "…",
    '{"count": "\\u001b]0;title\\u0007[bold]"}': "\\x1b]0;title\\x07[bold]",
    "[" * 100_000 + "]" * 100_000: "nested too deeply",
    '{"count": 1, "dtype": "f4,f4"}': "$.dtype: 'f4,f4' is not one of",
    '{"count": 1, "dtype": "M8[s]"}': "$.dtype",
    '{"count": 1, "shape": [-1]}': "$.shape[0]",
    '{"count": 1, "shape": "12"}': "$.shape",
    '{"count": 1, "hash": "00"}': "$.hash: '00' does not match",
}


@pytest.mark.parametrize("text", REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_is_not_of_the_schema(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_document(path, SCHEMA, "thing")
    line = str(caught.value)
    assert line.startswith(f"{path}: not a readable thing (")
    assert REFUSED[text] in line
    assert line.isprintable()
    assert len(line) < 600 + len(str(path))


def test_what_is_no_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text(" " * 100)
    for name, reason in {
        "fifo": "not a regular file",
        "none": "No such file",
        ".": "is a folder",
        "bytes": "utf-8",
        "large": "more than 99 bytes",
    }.items():
        with pytest.raises(InputError, match=reason):
            read_document(tmp_path / name, SCHEMA, "thing", largest=99)


def test_what_is_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"count": 3, "dtype": "float32", "shape": [2, 3], "hash": null}')
    assert read_document(path, SCHEMA, "thing") == {"count": 3, "dtype": "float32", "shape": [2, 3], "hash": None}
