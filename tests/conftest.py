"""Settings of every test: hypothesis draws the same examples each time, and no clock decides."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from twins.processor import configure_processor

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // WORKERS))  # each worker has its share of cores
configure_processor()

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
