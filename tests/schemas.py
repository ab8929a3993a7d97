"""Every JSON that a command prints, held to its schema in docs/schemas; what no schema tells of is refused, too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
SUBCOMMANDS = {
    "certify": "certificate",
    "compare": "report",
    "doctor": "examination",
    "mutants": "mutants",
    "verify": "verification",
}
"""Of `ccnet-parity` -> schema."""


@cache
def read_schema(name: str, version: int = 1) -> Any:
    return json.loads((FOLDER / f"{name}-{version}.schema.json").read_text(encoding="utf-8"))


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(close(read_schema(name)))


def close(schema: Any) -> Any:
    """The schema, in which fields that it does not name are errors: for those who read outputs they are none."""
    if isinstance(schema, list):
        return [close(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    return {**closed, "additionalProperties": False} if "properties" in closed and "required" in closed else closed


def assert_valid(content: Any, name: str) -> None:
    """`content` is as docs/schemas says; the message says where it is not."""
    error = best_match(_validator(name).iter_errors(content))
    assert error is None, f"{name}: docs/schemas/{name}-1.schema.json: {error.json_path}: {error.message}"


COMMANDS = ("ccnet-convert", "ccnet-eval", "ccnet-parity", "ccnet-seg")


def name_schema(words: Sequence[str]) -> str:
    """Of what a command line prints, which may start a command by another, such as torchrun."""
    command, *rest = words[next(n for n, word in enumerate(words) if Path(word).name in COMMANDS) :]
    command = Path(command).name
    if command == "ccnet-convert":
        return next(
            (n for option, n in (("--inspect", "inspection"), ("--diff", "difference")) if option in words), "manifest"
        )
    if command == "ccnet-parity":
        return SUBCOMMANDS.get(rest[0], "report") if rest else "report"
    return {"ccnet-eval": "evaluation", "ccnet-seg": "score"}[command]


def validate_output(words: Sequence[str], output: str) -> None:
    """Whether what a command printed is as its schema says, if `--json` was asked for and anything was printed."""
    if "--json" in words and output.strip():
        assert_valid(json.loads(output), name_schema(words))
