"""`import parity`: the way in, and no framework before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import parity
from parity.engine.harness import compare_models
from parity.verdicts.report import Report

REPOSITORY = Path(__file__).parents[2]
IMPORT = "import sys, parity; print(sorted({'torch', 'paddle'} & sys.modules.keys()))"


def test_public_names() -> None:
    assert parity.compare_models is compare_models
    assert parity.Report is Report
    with pytest.raises(AttributeError, match="no attribute 'compare_model'"):
        _ = parity.compare_model


def test_importing_it_imports_no_framework() -> None:
    process = subprocess.run([sys.executable, "-c", IMPORT], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"
