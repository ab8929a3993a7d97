"""The pytest plugin: the fixture `parity`, and `--parity-report DIR`.

    def test_port(parity):
        parity.assert_same(TorchNet(), PaddleNet(), images)

pytest loads this module in every session, so it imports nothing but pytest until the fixture is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

OURS = Path(__file__).resolve().parents[1]


class Parity:
    """What the fixture is: `assert_same` of this project, which keeps its pages where `--parity-report` says."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._count = folder, 0

    @property
    def assert_same(self) -> Callable[..., Any]:
        """`parity.assert_same`; its `report` is a folder of the test's own, if pages are kept."""
        function = _find_function()

        def assert_same(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if self._folder is not None:
                self._count += 1
                own = self._folder if self._count == 1 else self._folder.with_name(f"{self._folder.name}.{self._count}")
                kwargs.setdefault("report", own)
            return function(*args, **kwargs)

        return assert_same


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ccnet-parity").addoption(
        "--parity-report", metavar="DIR", help="Keep the pages of `parity.assert_same` here, a folder for each test."
    )


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Parity:
    """Assert that a Paddle network is the same function as torch's: `parity.assert_same(reference, port, inputs)`."""
    folder = request.config.getoption("--parity-report")
    name = re.sub(r"[^\w.-]+", "-", request.node.nodeid.replace("::", "-").replace("/", "-")).strip("-")
    return Parity(None if folder is None else Path(folder).resolve() / name)


def _find_function() -> Callable[..., Any]:
    """`parity.assert_same`, unless the name `parity` is another project's here."""
    module = import_module("parity")
    found = Path(str(module.__file__)).resolve()
    if OURS not in found.parents:
        pytest.fail(
            f"the fixture `parity` needs ccnet-parity's package `parity`, but {found} comes first", pytrace=False
        )
    return module.assert_same  # type: ignore[no-any-return]
