"""What a certificate's code was, what changed since, and who signed it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from parity.certify.certificate import FILE, read_certificate, verify
from parity.certify.provenance import list_sources, sign
from parity.certify.run import Options, certify
from parity.errors import ParityInputError
from tests.cli.run import run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loss in a file that imports another, and its certificate."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "weights_of_losses.py").write_text("RATE = 0.01\n")
    (folder / "my_schedule.py").write_text(
        "from weights_of_losses import RATE\n\n\ndef rate(step):\n    return RATE * max(1 - step / 60000, 0) ** 0.9\n"
    )
    parts = {"schedule": f"{folder / 'my_schedule.py'}:rate"}
    certify(Options(depth=18, report=folder, gates=("learning rate",), parts=parts))
    return folder


def test_the_users_files_are_recorded(project: Path) -> None:
    content = read_certificate(project / FILE)
    assert {Path(name).name for name in content["sources"]} == {"my_schedule.py", "weights_of_losses.py"}
    assert content["parts"]["port"] == {"schedule": f"{project / 'my_schedule.py'}:rate"}
    assert content["verdict"] == "passed: 1 of 14 gates"


def test_a_config_and_what_it_builds_upon(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text("iters: 1\n")
    (tmp_path / "own.yml").write_text("_base_: base.yml\n")
    assert {Path(name).name for name in list_sources([], tmp_path / "own.yml")} == {"own.yml", "base.yml"}


def test_what_changed_is_said(project: Path, tmp_path: Path) -> None:
    weights = tmp_path / "some.pdparams"
    weights.write_bytes(b"weights")
    assert verify(project / FILE, weights).changed == ()
    helper = project / "weights_of_losses.py"
    kept = helper.read_text()
    helper.write_text("RATE = 0.02\n")
    assert [change.rpartition("/")[2] for change in verify(project / FILE, weights).changed] == [
        "weights_of_losses.py was changed"
    ]
    helper.rename(project / "elsewhere.py")
    assert [change.rpartition("/")[2] for change in verify(project / FILE, weights).changed] == [
        "weights_of_losses.py is not there"
    ]
    helper.write_text(kept)
    content = json.loads((project / FILE).read_text())
    content["environment"]["versions"]["torch"] = "0.1"
    other = tmp_path / FILE
    other.write_text(json.dumps(content))
    (change,) = verify(other, weights).changed
    assert change.endswith("was 0.1")


def test_signatures(project: Path, tmp_path: Path) -> None:
    weights, signers = tmp_path / "some.pdparams", tmp_path / "allowed_signers"
    weights.write_bytes(b"weights")
    keys = {}
    for name in ("porter", "stranger"):
        keys[name] = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys[name]], check=True)
    signers.write_text(f"porter@example.org {keys['porter'].with_suffix('.pub').read_text()}")
    path = tmp_path / FILE
    path.write_bytes((project / FILE).read_bytes())
    with pytest.raises(ParityInputError, match="no such file; a certificate is signed by certify --sign"):
        verify(path, weights, signers)
    sign(path, keys["stranger"])
    with pytest.raises(ParityInputError, match="--signers"):
        verify(path, weights, signers)
    sign(path, keys["porter"])
    assert verify(path, weights, signers).signer == "porter@example.org"
    shown = run("ccnet-parity", "verify", path, "--weights", weights, "--signers", signers)
    assert "signed by porter@example.org" in shown.stdout
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ParityInputError, match="--signers"):
        verify(path, weights, signers)


def test_a_key_that_there_is_not(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text("{}")
    with pytest.raises(ParityInputError, match="--sign "):
        sign(path, tmp_path / "none")
