"""A batch of what `make fuzz` reads for five minutes; and that the fuzzer sees what it looks for."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from converter.errors import InputError
from tests.fuzz.__main__ import draw_case, run_apart
from tests.fuzz.seeds import make_seeds


def refuse_in_two_lines(path: Path) -> None:
    raise InputError("one\ntwo")


FAULTS = {
    "more than one line": refuse_in_two_lines,
    "ZeroDivisionError": lambda path: 1 / 0,
    "MemoryError": lambda path: bytearray(64 << 30),  # more than a large process has freed
    "died": lambda path: os.kill(os.getpid(), 11),
    "runs subprocess.Popen": lambda path: subprocess.run(["true"], check=True),
}


def test_damaged_and_hostile_files(tmp_path: Path) -> None:
    seeds, draw = make_seeds(tmp_path), random.Random(20)
    assert run_apart([draw_case(seeds, draw) for _ in range(400)], tmp_path) is None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str, tmp_path: Path) -> None:
    start = time.monotonic()
    found = run_apart([(b"x", "a", lambda path: None), (b"x", "a", FAULTS[fault])], tmp_path)
    assert found is not None
    assert found[0] == 1
    assert fault in found[1]
    assert time.monotonic() - start < 60
