"""The pytest plugin, in real pytest runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import parity.testing.same
import tests.parity.testing.networks

LOADED = parity.testing.same, tests.parity.testing.networks
"""What the runs in this process need is imported before them: frameworks cannot be imported twice."""

pytest_plugins = ["pytester"]

HEAD = """
    import numpy as np
    from tests.parity.testing.networks import PaddleNet, TorchNet

    IMAGES = np.random.default_rng(0).standard_normal((2, 3, 9, 7))
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    return pytester


def test_a_test_of_three_lines(project):
    project.makepyfile(
        HEAD
        + """
    def test_port(parity):
        parity.assert_same(TorchNet(), PaddleNet(), IMAGES)

    def test_names(parity):
        parity.assert_same("tests.parity.testing.networks:build", "tests.parity.testing.networks:build_port", IMAGES)
    """
    )
    project.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_a_failure_ends_with_the_message_and_no_line_of_ours(project):
    project.makepyfile(
        HEAD
        + """
    def test_port(parity):
        parity.assert_same(TorchNet(), PaddleNet(epsilon=1e-3), IMAGES)
    """
    )
    result = project.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*parity.assert_same(TorchNet(), PaddleNet(epsilon=1e-3), IMAGES)",
            "E*AssertionError: Networks are not the same! One layer is itself wrong: bn",
            "E*Mismatched elements: * / 280 (*%)",
            "E*Greatest absolute difference: * at index (*) (up to * allowed)",
            "E*Guilty: bn: *",
        ]
    )
    assert "describe_failure" not in result.stdout.str()


def test_pages_are_kept_for_each_test(project, tmp_path):
    project.makepyfile(
        test_kept=HEAD
        + """
    import pytest

    @pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
    def test_port(parity, epsilon):
        parity.assert_same(TorchNet(), PaddleNet(), IMAGES)
        parity.assert_same(TorchNet(), PaddleNet(epsilon=epsilon), IMAGES)
    """
    )
    result = project.runpytest_inprocess("-p", "no:cacheprovider", f"--parity-report={tmp_path / 'pages'}")
    result.assert_outcomes(passed=1, failed=1)
    folders = {path.parent.name for path in (tmp_path / "pages").glob("*/report.html")}
    stem = "test_kept.py-test_port-"
    assert folders == {f"{stem}{name}" for name in ("1e-05", "1e-05.2", "0.001", "0.001.2")}
    result.stdout.fnmatch_lines([f"E*Page: {tmp_path}/pages/test_kept.py-test_port-0.001.2/report.html"])


def test_no_framework_is_imported_until_the_fixture_is_used(tmp_path):
    """Not even where a test asks for it and does nothing."""
    (tmp_path / "test_lazy.py").write_text(
        "import sys\n\ndef test_lazy(parity, pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('ccnet-parity')\n"
        "    assert not {'torch', 'paddle', 'numpy'} & sys.modules.keys()\n"
    )
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", str(tmp_path)]
    result = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_a_project_with_a_package_called_parity_keeps_it(tmp_path):
    """Its own tests run; only who asks for the fixture is told."""
    (tmp_path / "parity").mkdir()
    (tmp_path / "parity" / "__init__.py").write_text("WHOSE = 'mine'\n")
    (tmp_path / "test_own.py").write_text(
        "import parity as own\n\ndef test_own():\n    assert own.WHOSE == 'mine'\n\n"
        "def test_asks(parity):\n    parity.assert_same(1, 2)\n"
    )
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "1 failed, 1 passed" in result.stdout
    assert "needs ccnet-parity's package `parity`, but" in result.stdout
