"""Settings of every test: hypothesis draws the same examples each time, and no clock decides."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.optional import HAS_PADDLESEG, PADDLESEGS
from twins.processor import configure_processor

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // WORKERS))  # each worker has its share of cores
configure_processor()

collect_ignore_glob = [] if HAS_PADDLESEG else list(PADDLESEGS)


def pytest_report_header() -> str:
    return "" if HAS_PADDLESEG else "PaddleSeg is not installed: the tests that need it are left out"


pytest.register_assert_rewrite("tests.converter.checkpoints")

settings.register_profile(
    "deterministic",
    derandomize=True,
    database=None,
    deadline=None,
    # Files in `tmp_path` are written anew for every example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("deterministic")


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The isolated passes that a comparison runs on top of its own: one entry each."""
    from parity.engine.passes import Passes

    own, counted = Passes.isolate, list[int]()

    def isolate(self: Passes, *args: Any, **settings: Any) -> Any:
        counted.append(1)
        return own(self, *args, **settings)

    monkeypatch.setattr(Passes, "isolate", isolate)
    return counted
