"""`ccnet-parity certify` and `verify`, as commands."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from parity.reports.reprod_log import FILES
from tests.cli.run import BIN, assert_one_line_error, call, run
from twins.standin import make_state_dict, save_state_dict


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small checkpoint and its conversion."""
    folder = tmp_path_factory.mktemp("certify")
    source, target = folder / "official.pth", folder / "out.pdparams"
    save_state_dict(source, make_state_dict(depth=18))
    assert run("ccnet-convert", source, target, "--recurrence", 1).returncode == 0
    return source, target


def test_interruption_says_what_is_kept(files: tuple[Path, Path], tmp_path: Path) -> None:
    command = [BIN / "ccnet-parity", "certify", *files, "--gates", "weights,loss,training", "--report", tmp_path]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    partial = tmp_path / "certificate.partial.json"

    def kept() -> list[str]:
        return [gate["name"] for gate in json.loads(partial.read_text())["outcomes"]] if partial.exists() else []

    while process.poll() is None and len(kept()) < 2:
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.endswith("error: interrupted; the same command goes on after the last gate that ran\n")
    assert kept()[0] == "weights"  # the second may have been interrupted while it was written


def test_a_refusal_leaves_no_folder_and_no_junit_takes_the_place_of_a_checkpoint(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = files
    before = source.read_bytes(), target.read_bytes()
    (tmp_path / "certificate.json").write_text("{}")
    (tmp_path / "junit.xml").mkdir()
    report = tmp_path / "new" / "report"
    for line, said in (
        (("certify", *files, "--junit", source), "no XML"),
        (("certify", *files, "--mapping", tmp_path / "no.json", "--port", "a:b"), "TARGET"),
        ((*files, "--report", report, "--junit", target), "no XML"),
        ((*files, "--report", report, "--input-size", 9, "--inputs", "a.npz"), "a.npz"),
        (("compare", tmp_path, tmp_path, "--report", report, "--junit", source), "no XML"),
        (("compare", tmp_path, tmp_path, "--report", report, "--junit", tmp_path / "junit.xml"), "directory"),
        (("verify", tmp_path / "certificate.json", "--weights", target, "--junit", target), "no XML"),
    ):
        where = ("--report", report) if line[0] == "certify" else ()
        assert_one_line_error(call("ccnet-parity", *line, *where), 2, said)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.json", "junit.xml"], line
    assert (source.read_bytes(), target.read_bytes()) == before


def test_certify_and_verify(files: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = files
    report = tmp_path / "report"
    result = run("ccnet-parity", "certify", source, target, "--gates", "weights,loss", "--report", report, "--json")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert content == json.loads((report / "certificate.json").read_text())
    assert content["verdict"] == "passed: 2 of 14 gates"
    assert content["recurrence"] == 1  # from the manifest
    assert {gate["name"] for gate in content["gates"] if gate["verdict"] == "passed"} == {"weights", "loss"}
    line = ("verify", report / "certificate.json", "--weights", target, "--junit", report / "junit.xml")
    checked = run("ccnet-parity", *line, "--json")
    assert (report / "junit.xml").read_text().count("<failure") == 1
    assert checked.returncode == 1
    found = json.loads(checked.stdout)
    assert (found["role"], found["verdict"], found["verified"]) == ("target", "passed: 2 of 14 gates", False)
    other = tmp_path / "other.pdparams"
    other.write_bytes(target.read_bytes() + b".")
    assert "does not speak of" in call("ccnet-parity", "verify", report / "certificate.json", "--weights", other).stdout


def test_a_table_for_people(files: tuple[Path, Path], tmp_path: Path) -> None:
    gates = ("--gates", "loss,learning-rate", "--junit", tmp_path / "junit.xml", "--reprod-log", tmp_path / "log")
    result = call("ccnet-parity", "certify", *files, *gates, "--report", tmp_path)
    assert result.returncode == 0
    assert (tmp_path / "junit.xml").read_text().count("<skipped") == 12
    assert "PASSED: 2 OF 14 GATES" in result.stdout
    assert {path.name for path in (tmp_path / "log").iterdir()} == set(FILES["loss"])
    assert "forward_diff.log are not written: gate 'forward': left out by --gates or --skip" in result.stderr
    assert "Traceback" not in result.stderr


def test_mistakes(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = call("ccnet-parity", "certify", *files, "--gates", "loos", "--report", tmp_path)
    assert_one_line_error(result, 2, "no gate is called loos", "learning rate")
    assert call("ccnet-parity", "certify", files[0]).returncode == 2
    missing = call("ccnet-parity", "verify", tmp_path / "none.json", "--weights", files[1])
    assert_one_line_error(missing, 2, "none.json", "not a readable certificate")


def test_certify_against_a_users_own_reference(files: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = files
    arguments = ("--reference", "tests.parity.official_reference:build", "--port", "tests.parity.official_port:build")
    gates = ("--gates", "weights,forward,loss,initialisation", "--report", tmp_path)
    result = call("ccnet-parity", "certify", source, *arguments, *gates, "--json")
    assert result.returncode == 1, result.stderr  # incomplete
    content = json.loads(result.stdout)
    assert content["reference"] == "tests.parity.official_reference:build"
    verdicts = {gate["name"]: gate["verdict"] for gate in content["gates"]}
    assert {name for name, verdict in verdicts.items() if verdict == "passed"} == {"weights", "forward"}
    assert verdicts["loss"] == "not run"
    assert verdicts["initialisation"] == "not run"  # the reference's own initialiser was not given
