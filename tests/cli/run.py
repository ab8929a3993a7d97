"""Running the installed commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


def run(command: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `command` of this environment and wait."""
    return subprocess.run(
        [str(BIN / command), *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def assert_one_line_error(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The command ended with `code` and one line on standard error that holds every word."""
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
