"""The TIPC chain, each step a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from paddleseg_port.tipc import Step, run_steps
from tests.cli.run import run
from tests.paddleseg_port.conftest import CONFIGS

STEPS = 6


def test_the_chain(dataset: Path, tmp_path: Path) -> None:
    result = run(
        *("ccnet-seg", "tipc", "lite_train_lite_infer", "--config", CONFIGS / "generated.yml", "--device", "cpu"),
        *("--save_dir", tmp_path, "--data", dataset),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    logs = tmp_path / "generated" / "lite_train_lite_infer"
    lines = (logs / "results_python.log").read_text().splitlines()
    assert "lite_train_lite_infer" in lines[0]
    assert [line.startswith(" Run successfully with command - ") for line in lines[1:]] == [True] * STEPS
    assert "iter: 20/20" in (logs / "train.log").read_text()
    assert list((logs / "train").glob("vdlrecords*"))
    for onednn in (False, True):
        (log,) = logs.glob(f"python_infer_cpu_usemkldnn_{onednn}_*.log")
        text = log.read_text()
        for words in ("model_name: generated", "precision: fp32", "batch_size: 1", f"enable_mkldnn: {onednn}"):
            assert words in text
        assert "preprocess_time(ms)" in text


class Crash(Step):
    """A step whose process is ended by the operating system."""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]


def test_a_failed_or_crashed_step_fails_the_chain_but_not_the_next(tmp_path: Path) -> None:
    steps = [Step("refused", ["no-such-command"]), Crash("crashed", []), Step("helped", ["--help"])]
    status = tmp_path / "results_python.log"
    assert not run_steps(steps, tmp_path, status)
    outcomes = [" ".join(line.split()[:2]) for line in status.read_text().splitlines()]
    assert outcomes == ["Run failed", "Run failed", "Run successfully"]
    assert "No such command" in (tmp_path / "refused.log").read_text()
    assert run_steps(steps[2:], tmp_path, status)
