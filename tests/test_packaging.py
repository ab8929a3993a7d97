"""Installed like other libraries: wide ranges, what is tested beside them, types, versions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement

from ccnet_cli import main
from tests.cli.run import run

ROOT = Path(__file__).parents[1]


def requirements(text: str) -> dict[str, Requirement]:
    found = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    return {requirement.name: requirement for requirement in found}


def test_constraints_narrow_what_is_declared_and_are_what_is_installed() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    for name, constraint in requirements((ROOT / "constraints.txt").read_text()).items():
        assert re.search(rf'"{name}[<>=]', declared), name
        if constraint.marker is None or constraint.marker.evaluate():
            assert constraint.specifier.contains(version(name).partition("+")[0]), name
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "--editable" in line]
    assert len(installs) == 3
    assert all("--constraint constraints.txt" in line for line in installs)


def test_every_package_is_typed() -> None:
    packages = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "benchmarks")]
    assert len(packages) == 10
    assert all((package / "py.typed").is_file() for package in packages)


@pytest.mark.parametrize("name", ["convert", "evaluate", "parity", *main.SUBCOMMANDS])
def test_every_command_has_a_version(name: str) -> None:
    command = main.SUBCOMMANDS[name] if name in main.SUBCOMMANDS else getattr(main, name)
    result = CliRunner().invoke(command, ["--version"], prog_name=f"ccnet-{name}")
    assert (result.exit_code, result.output) == (0, f"ccnet-{name} {version('ccnet-parity')}\n")


@pytest.mark.parametrize("name", ["convert", "eval", "parity", "seg"])
def test_every_command_as_a_module(name: str) -> None:
    command = [sys.executable, "-m", "ccnet_cli", name, "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == f"ccnet-{name} {version('ccnet-parity')}\n"


def test_a_module_without_a_command_is_bad_input() -> None:
    result = subprocess.run([sys.executable, "-m", "ccnet_cli"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 2
    assert "convert|eval|parity|seg" in result.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [("ccnet-parity certify --ste", "plain,--steps"), ("ccnet-parity --layer", "plain,--layer-by-layer")],
)
def test_shells_complete_subcommands_too(words: str, offered: str) -> None:
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    result = run("ccnet-parity", env={**os.environ, **environment, "_CCNET_PARITY_COMPLETE": "bash_complete"})
    assert result.stdout == f"{offered}\n"


def test_forms_are_of_yaml_and_ask_for_the_report() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "verdict.yml").read_text())
    assert {"report", "doctor", "line", "expected"} == {part["id"] for part in form["body"]}
    for name in (".pre-commit-config.yaml", "CITATION.cff", ".github/ISSUE_TEMPLATE/config.yml"):
        assert yaml.safe_load((ROOT / name).read_text())
