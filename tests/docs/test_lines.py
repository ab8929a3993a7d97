"""Every command line of READMEs and docs runs as printed, in the folder that `make demo` makes; here of depth 18."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import parity.build
from tests.cli.run import call
from tests.optional import HAS_PADDLESEG
from tests.workspace import make_workspace

ROOT = Path(__file__).parents[2]
ALL = "CCNET_ALL_LINES" in os.environ
NAMES = ("evaluation", "families", "files", "harness", "recordings", "ci", "certificate")
PAGES = ("README.md", *(f"docs/{name}.md" for name in NAMES))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = {
    r"certify|verify": "takes minutes; tests/parity/certify runs every gate, tests/cli/test_certify.py the commands",
    r"--nproc-per-node|paddle\.distributed\.launch": "needs several GPUs; tests/cli/test_eval.py starts two processes",
}
SLOW = re.compile(r"mine\.pdparams|--reference|--layer-by-layer|cityscapes/ --torch|compare port/")
"""What `make lines` runs beside the rest: three minutes."""
FAILING = "mistaken_ccnet.py"


def lines(page: str) -> Iterator[str]:
    for _, block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.strip().removeprefix("$ ")
            if command.startswith(("ccnet-", "torchrun", "python -m paddle")):
                yield " ".join(command.split())


LINES = list(dict.fromkeys(line for page in PAGES for line in lines(page)))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    make_workspace(folder, depth=18)
    return folder


def test_every_line_runs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order: what one makes, the next takes."""
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(parity.build, "DEFAULT_SIZES", ((33, 41),))  # for three larger ones
    for line in LINES:
        if any(re.search(pattern, line) for pattern in ELSEWHERE) or (SLOW.search(line) and not ALL):
            continue
        if not HAS_PADDLESEG and re.search("ccnet-seg|--config", line):
            continue
        result = call(*shlex.split(line, comments=True))
        assert result.returncode == (1 if FAILING in line else 0), f"{line}\n{result.stdout[-2000:]}{result.stderr}"


def test_code_and_configs_that_a_line_names_are_there(workspace: Path) -> None:
    named = {word.partition(":")[0] for line in LINES for word in shlex.split(line, comments=True)}
    files = [name for name in named if name.endswith((".py", ".yml", ".npz", ".png"))]
    assert len(files) > 5
    assert not [name for name in files if not (workspace / name).exists()]


def test_there_are_lines_and_each_exception_is_one() -> None:
    assert len(LINES) > 12
    assert all(any(re.search(pattern, line) for line in LINES) for pattern in ELSEWHERE)


def test_the_python_runs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first snippet, on the small network."""
    snippet = next(block for kind, block in FENCE.findall((ROOT / "README.md").read_text()) if kind == "python")
    monkeypatch.chdir(workspace)
    names: dict[str, object] = {}
    exec(snippet.replace("depth=101", "depth=18"), names)
    assert names["logits"].shape == [1, 19, 9, 9]  # type: ignore[attr-defined]
