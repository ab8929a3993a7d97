"""What the reproduction guide asks for: its own package reads it, passes a port and refuses a mistake."""

from __future__ import annotations

import numpy as np
import pytest

from parity.reports.reprod_log import FILES, report_differences
from tests.cli.run import assert_one_line_error, call
from tests.parity.guides_package import judge, without_times

SPECS = "tests.parity.testing.networks:"


@pytest.mark.parametrize(("port", "code", "said"), [("build_port", 0, "passed"), ("build_wrong_port", 1, "failed")])
def test_the_package_agrees(tmp_path, port, code, said):
    words = ("--reference", f"{SPECS}build", "--port", SPECS + port, "--input-size", "9,7", "--reprod-log", tmp_path)
    result = call("ccnet-parity", *words)
    assert result.returncode == code, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(FILES["forward"])
    ours = without_times(tmp_path / "forward_diff.log")
    assert ours[-1] == f"root INFO: diff check {said}"
    theirs = judge(tmp_path, "forward")
    assert [line.partition("value")[0] for line in ours] == [line.partition("value")[0] for line in theirs]
    stored = np.load(tmp_path / "forward_torch.npy", allow_pickle=True).item()
    assert {name: array.dtype.name for name, array in stored.items()} == {"output 1 of 2×3×9×7": "float64"}


def test_float32_alone_is_what_there_is(tmp_path):
    words = ("--reference", f"{SPECS}build", "--port", f"{SPECS}build_port", "--input-size", "9", "--dtype", "float32")
    assert call("ccnet-parity", *words, "--reprod-log", tmp_path).returncode == 0
    stored = np.load(tmp_path / "forward_paddle.npy", allow_pickle=True).item()
    assert [array.dtype.name for array in stored.values()] == ["float32"]


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (np.ones(4), np.full(4, np.nan)),
        (np.ones((4, 1)), np.ones(4)),
        (np.ones((2, 3)), np.ones((3, 2))),
    ],
)
def test_what_the_package_would_let_pass_is_failed(expected, actual):
    assert list(report_differences({"a": expected}, {"a": actual}))[-1].endswith("diff check failed")


@pytest.mark.parametrize(("expected", "actual"), [({}, {}), ({"a": np.ones(2)}, {}), ({}, {"a": np.ones(2)})])
def test_nothing_is_no_pass(expected, actual):
    assert list(report_differences(expected, actual))[-1].endswith("diff check failed")


@pytest.mark.parametrize("words", [("--bisect",), ("--fail-fast",), ("--layer-by-layer", "--mode", "isolated")])
def test_without_whole_passes_it_is_refused(tmp_path, words):
    line = ("--reference", f"{SPECS}build", "--port", f"{SPECS}build_port", "--reprod-log", tmp_path / "log", *words)
    assert_one_line_error(call("ccnet-parity", *line), 2, "--reprod-log needs whole free passes")


def test_a_folder_that_cannot_be_written_is_told_before(tmp_path):
    (tmp_path / "file").write_text("")
    line = ("--reference", "no:no", "--port", "no:no", "--reprod-log", tmp_path / "file")
    assert_one_line_error(call("ccnet-parity", *line), 2, "cannot write a report here")
