"""The GitHub action: its own script, run as the runner would, and a workflow that uses it as it is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.run import BIN

ROOT = Path(__file__).parents[2]
SPECS = "tests.parity.testing.networks:"


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def compare(folder: Path, arguments: str, command: str = "") -> subprocess.CompletedProcess[str]:
    """The action's step "Compare"."""
    (step,) = [step for step in read("action.yml")["runs"]["steps"] if step["name"] == "Compare"]
    values = {"command": command, "arguments": arguments, "report": str(folder / "report")}
    given = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: values[m[1]], value) for name, value in step["env"].items()
    }
    environment = {
        **os.environ,
        **given,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    line = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("port", "code", "said"), [("build_port", 0, "**PASSED**"), ("build_wrong_port", 1, "**FAILED**")]
)
def test_the_table_is_put_into_the_summary_whatever_the_verdict(tmp_path, port, code, said):
    result = compare(tmp_path, f"--reference\n{SPECS}build\n\n--port  \n{SPECS}{port}\n--input-size\n9,7\n")
    assert result.returncode == code, result.stderr
    assert said in (tmp_path / "summary.md").read_text()
    assert {"ALIGNMENT.md", "junit.xml", "report.html"} <= {path.name for path in (tmp_path / "report").iterdir()}


def test_bad_input_is_exit_code_2_and_no_summary(tmp_path):
    result = compare(tmp_path, "certificate.json\n--weights\n$(touch owned)", command="verify")
    assert result.returncode == 2
    assert not list(tmp_path.iterdir())


def test_inputs_are_those_that_are_used():
    action = read("action.yml")
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(action["inputs"])
    documented = (ROOT / "docs" / "ci.md").read_text()
    assert all(f"`{name}`" in documented for name in action["inputs"])


def test_the_workflow_uses_the_action_as_it_is():
    workflow = read(".github/workflows/tests.yml")
    (step,) = [step for step in workflow["jobs"]["parity"]["steps"] if step.get("uses") == "./"]
    assert set(step["with"]) <= set(read("action.yml")["inputs"])
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]
