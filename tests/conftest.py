"""Settings of every test: hypothesis draws the same examples each time, and no clock decides."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

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
