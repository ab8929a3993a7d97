"""Every option of every command that names a file refuses what is none, and does not wait for it."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ccnet_cli.certify import certify, verify
from ccnet_cli.convert import convert
from ccnet_cli.evaluate import evaluate
from ccnet_cli.parity import compare, mutants, parity
from ccnet_cli.seg import seg

COMMANDS: list[click.Command] = [certify, compare, convert, evaluate, mutants, parity, verify, *seg.commands.values()]
CASES = [
    (command, parameter)
    for command in COMMANDS
    for parameter in command.params
    if isinstance(parameter.type, click.Path)
]


def words(parameter: click.Parameter, value: object) -> list[str]:
    name = max(parameter.opts, key=len)
    return [name, str(value)] if isinstance(parameter, click.Option) else [str(value)]


@pytest.mark.parametrize(("command", "parameter"), CASES, ids=[f"{c.name}-{p.name}" for c, p in CASES])
@pytest.mark.parametrize("kind", ["fifo", "device", "long"])
def test_special_files(kind: str, command: click.Command, parameter: click.Parameter, tmp_path: Path) -> None:
    plain, given = tmp_path / "plain", tmp_path / "fifo"
    plain.touch()
    os.mkfifo(given)
    given = {"fifo": given, "device": Path("/dev/null"), "long": tmp_path / ("x" * 300)}[kind]
    line: list[str] = []
    for other in command.params:
        needed = other.required or (isinstance(other, click.Argument) and isinstance(other.type, click.Path))
        if other is parameter or needed:
            choices = other.type.choices if isinstance(other.type, click.Choice) else [plain]
            line += words(other, given if other is parameter else choices[0])
    result = CliRunner().invoke(command, line)
    assert result.exit_code == 2, result.output + repr(result.exception)
    reason = "File name too long" if kind == "long" else "is not a regular file"
    assert result.stderr == f"error: {given}: {reason}\n"


def test_there_are_many() -> None:
    assert len(CASES) > 30
