"""What is set for the processor's libraries, and what the user's own settings keep."""

from __future__ import annotations

import os

import pytest

from twins import processor

VARIABLES = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_DEBUG_CPU_TYPE", *processor.ALLOCATOR_VARIABLES)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What the allocator is told, in an environment without settings."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is undone, whatever was there
        monkeypatch.delenv(name)
    made: list[tuple[str, int]] = []
    monkeypatch.setattr(processor, "call_allocator", lambda name, first, *rest: made.append((name, first)))
    return made


@pytest.mark.parametrize(("amd", "expected"), [(True, "5"), (False, None)])
def test_every_core_and_its_vector_units(calls, monkeypatch, amd, expected):
    monkeypatch.setattr(processor, "_is_amd_with_avx2", lambda: amd)
    processor.configure_processor()
    assert os.environ["OMP_NUM_THREADS"] == str(os.cpu_count())
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == expected
    assert calls == [("mallopt", processor.M_MMAP_THRESHOLD), ("mallopt", processor.M_TRIM_THRESHOLD)]


@pytest.mark.parametrize("name", VARIABLES)
def test_the_users_own_setting_stays(calls, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    processor.configure_processor()
    assert os.environ[name] == "1"
    assert bool(calls) != (name in processor.ALLOCATOR_VARIABLES)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_an_allocator_without_the_function_is_left_alone(monkeypatch, platform):
    monkeypatch.setattr(processor.sys, "platform", platform)
    processor.call_allocator("no_such_function", 0)
