"""`ccnet-parity certify` with a config and with functions, as a command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.run import assert_one_line_error, call

OFFICIAL = Path(__file__).parents[2] / "configs" / "official_769x769_60k.yml"
QUICK = ("--depth", "18", "--gates", "learning-rate,regularisation")


@pytest.fixture
def settings() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(OFFICIAL.read_text())
    found["model"]["depth"] = 18
    return found


def write(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(settings))
    return path


def test_a_config(settings: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "own.yml", settings)
    result = call("ccnet-parity", "certify", "--config", path, *QUICK, "--report", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "PASSED: 2 OF 14 GATES" in result.stdout
    assert "own.yml, lr_scheduler" in result.stdout
    assert "note: the port came without weights: it was given the reference's" in result.stdout
    assert "note: the config's pretrained" in result.stdout
    content = json.loads((tmp_path / "certificate.json").read_text())
    assert content["config"] == str(path)
    assert content["target"]["name"] == str(path)
    assert [Path(name).name for name in content["sources"]] == ["own.yml"]


def test_a_mistake_in_a_config(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["optimizer"]["weight_decay"] = 4.0e-5
    path = write(tmp_path / "own.yml", settings)
    result = call("ccnet-parity", "certify", "--config", path, *QUICK, "--report", tmp_path)
    assert result.returncode == 1
    assert "NOT CERTIFIED: 1 of 14 gates passed; 1 failed: regularisation" in result.stdout
    assert "0.4 times the reference's" in result.stdout


def test_functions(tmp_path: Path) -> None:
    (tmp_path / "own_rate.py").write_text("def rate(step):\n    return 0.01 * max(1 - step / 60000, 0) ** 0.9\n")
    own = ("--schedule", f"{tmp_path / 'own_rate.py'}:rate", "--depth", "18", "--report", tmp_path)
    result = call("ccnet-parity", "certify", *own, "--gates", "learning-rate", "--json")
    assert result.returncode == 0, result.stderr
    (gate,) = (gate for gate in json.loads(result.stdout)["gates"] if gate["name"] == "learning rate")
    assert gate["code"] == {"port": "own_rate.rate (own_rate.py:1)", "reference": "toolkit"}
    assert "as long as the training" not in gate["reason"]  # which no function tells


def test_bad_input(settings: dict[str, Any], tmp_path: Path) -> None:
    report = ("--report", tmp_path)
    missing = call("ccnet-parity", "certify", "--config", tmp_path / "none.yml", *QUICK, *report)
    assert_one_line_error(missing, 2, "none.yml: no such file")
    settings["model"]["type"] = "NoSuchNet"
    path = write(tmp_path / "own.yml", settings)
    unknown = call("ccnet-parity", "certify", "--config", path, *QUICK, *report)
    assert_one_line_error(unknown, 2, "own.yml", "NoSuchNet")
    absent = call("ccnet-parity", "certify", "--loss", "nowhere.py:loss", *QUICK, *report)
    assert_one_line_error(absent, 2, "--loss nowhere.py:loss", "no such file")
    both = call("ccnet-parity", "certify", "--config", path, "--port", "a:b", *QUICK, *report)
    assert_one_line_error(both, 2, "--port or --config, not both")
