"""The work is done whatever becomes of the output, and the exit code says so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import BIN
from twins.standin import make_state_dict, save_state_dict

FULL = Path("/dev/full")
WITHOUT = {"HOME", "XDG_CACHE_HOME"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "official.pth"
    save_state_dict(path, make_state_dict("official", depth=18))
    return path


def convert(source: Path, target: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """To the twins' names."""
    command = [BIN / "ccnet-convert", source, target, "--to", "canonical", "--recurrence", "2"]
    options = {"stdout": subprocess.PIPE, **options}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_for_the_report(source: Path, tmp_path: Path) -> None:
    with FULL.open("w") as full:
        result = convert(source, tmp_path / "out.pth", stdout=full)
    assert result.returncode == 2
    assert result.stderr == "error: standard output: No space left on device; the work itself was done\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.manifest.json", "out.pth"]


def test_a_pipe_that_nobody_reads(source: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = convert(source, tmp_path / "out.pth", stdout=writing)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "out.pth").exists()


def test_no_output_at_all(source: Path, tmp_path: Path) -> None:
    command = f'"{BIN}/ccnet-convert" "{source}" "{tmp_path}/out.pth" --to canonical >&- 2>&- <&-'
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    assert (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["encoding", "locale"],
)
def test_characters_that_cannot_be_shown(settings: dict[str, str], source: Path, tmp_path: Path) -> None:
    result = convert(source, tmp_path / "out.pth", env={**os.environ, **settings})
    assert (result.returncode, result.stderr) == (0, "")
    assert "layer{1?4}" in result.stdout
    assert result.stdout.isascii()


def test_no_home(source: Path, tmp_path: Path) -> None:
    """Libraries make none in the working directory, and what is made for them goes."""
    environment = {name: value for name, value in os.environ.items() if name not in WITHOUT}
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    environment |= {"HOME": str(tmp_path / "none"), "TMPDIR": str(temporary)}
    result = convert(source, work / "out.pdparams", cwd=work, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(path.name for path in work.iterdir()) == ["out.manifest.json", "out.pdparams"]
    assert list(temporary.iterdir()) == []
