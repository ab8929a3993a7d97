"""Running the installed commands."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cli
from tests.schemas import validate_output

BIN = Path(sys.executable).parent
MAIN = {
    "ccnet-convert": cli.convert,
    "ccnet-eval": cli.evaluate,
    "ccnet-parity": cli.parity_main,
    "ccnet-seg": cli.seg_main,
}
SIGNALS = signal.SIGINT, signal.SIGTERM


def run(command: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `command` of this environment and wait. What it prints as JSON must be as docs/schemas says."""
    words = [str(BIN / command), *map(str, arguments)]
    result = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    validate_output(words, result.stdout)
    return result


def call(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The same in this process, where a subprocess would do little but import the frameworks.

    Each command has tests that start it as its users do.
    """
    words = [command, *map(str, arguments)]
    output, errors, code = io.StringIO(), io.StringIO(), 0
    handlers = [signal.getsignal(number) for number in SIGNALS]
    try:
        with patch.object(sys, "argv", words), redirect_stdout(output), redirect_stderr(errors):
            MAIN[command]()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        for number, handler in zip(SIGNALS, handlers, strict=True):
            signal.signal(number, handler)
    validate_output(words, output.getvalue())
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def assert_one_line_error(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The command ended with `code` and one line on standard error that holds every word."""
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
