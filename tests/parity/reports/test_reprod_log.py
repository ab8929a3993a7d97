"""What the reproduction guide asks for: its own package reads it, passes a port and refuses a mistake."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from reprod_log import ReprodDiffHelper

from parity.reports.reprod_log import NAMES, report_differences
from tests.cli.run import assert_one_line_error, call

SPECS = "tests.parity.testing.networks:"


@pytest.fixture
def logged() -> None:
    """Its logger is Python's root: what the package puts there is taken out again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def judge(folder: Path) -> list[str]:
    """The lines of the package's own report, without times."""
    helper = ReprodDiffHelper()
    helper.compare_info(*(helper.load_info(str(folder / f"forward_{side}.npy")) for side in ("torch", "paddle")))
    helper.report(path=str(folder / "theirs.log"))
    return without_times(folder / "theirs.log")


def without_times(path: Path) -> list[str]:
    return [re.sub(r"^\[.*?\] ", "", line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("port", "code", "said"), [("build_port", 0, "passed"), ("build_wrong_port", 1, "failed")])
def test_the_package_agrees(tmp_path, logged, port, code, said):
    words = ("--reference", f"{SPECS}build", "--port", SPECS + port, "--input-size", "9,7", "--reprod-log", tmp_path)
    result = call("ccnet-parity", *words)
    assert result.returncode == code, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)
    ours = without_times(tmp_path / "forward_diff.log")
    assert ours[-1] == f"root INFO: diff check {said}"
    theirs = judge(tmp_path)
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
