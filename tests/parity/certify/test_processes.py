"""Workers that crash, hang or fail are findings, and nothing of them is left."""

from __future__ import annotations

import pytest

from parity.certify.gates.export import explain, find_pass
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


def test_a_crash_of_onednn_names_the_pass_and_the_switches() -> None:
    (ended,) = run_workers(WORKER, [["crash"]], [{}], seconds=60)
    text = explain("onednn", ended, cured=True)
    assert "SIGSEGV in guilty_fuse_pass" in text
    assert "Config.delete_pass('guilty_fuse_pass') or Config.disable_mkldnn() avoids it" in text
    assert "delete_pass" not in explain("onednn", ended, cured=False)
    assert "avoids" not in explain("plain", ended, cured=False)


def test_no_pass_is_to_blame_where_nothing_crashed() -> None:
    (ended,) = run_workers(WORKER, [["raise"]], [{}], seconds=60)
    assert find_pass(ended) is None
