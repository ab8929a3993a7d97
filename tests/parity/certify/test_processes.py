"""Workers that crash, hang or fail are findings, and nothing of them is left."""

from __future__ import annotations

import pytest

from parity.certify.gates.export import explain
from parity.certify.processes import run_workers

WORKER = "tests.parity.certify.crashing"


def test_a_worker_that_ends_well() -> None:
    ended = run_workers(WORKER, [["well"], ["well"]], [{}, {}], seconds=60)
    assert all(ended)
    assert "first_pass" in ended[0].output


@pytest.mark.parametrize(
    ("kind", "seconds", "words"),
    [("crash", 60, "SIGSEGV"), ("raise", 60, "exit code 1: the reason"), ("hang", 1, "did not end in time")],
)
def test_a_worker_that_does_not(kind: str, seconds: float, words: str) -> None:
    (ended,) = run_workers(WORKER, [[kind]], [{}], seconds=seconds)
    assert not ended
    assert words in ended.explanation


def test_a_crash_of_onednn_names_the_pass_and_the_switch() -> None:
    (ended,) = run_workers(WORKER, [["crash"]], [{}], seconds=60)
    text = explain("onednn", ended)
    assert "SIGSEGV in guilty_fuse_pass" in text
    assert "disable_mkldnn" in text
    assert "disable_mkldnn" not in explain("plain", ended)
