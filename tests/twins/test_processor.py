"""What is set for the processor's libraries, and what the user's own settings keep."""

from __future__ import annotations

import gc
import os
import weakref

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
    monkeypatch.setattr(processor, "_call_allocator", lambda name, first, *rest: made.append((name, first)))
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


def test_freed_memory_goes_back(calls):
    processor.return_freed_memory()
    assert calls == [("malloc_trim", 0)]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_an_allocator_without_the_function_is_left_alone(monkeypatch, platform):
    monkeypatch.setattr(processor.sys, "platform", platform)
    processor._call_allocator("no_such_function", 0)


class Ring:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


def test_the_collector_sees_only_what_is_made_within():
    before, frozen = Ring(), gc.get_freeze_count()
    old = weakref.ref(before)
    with processor.quiet_collector():
        within = Ring()
        new = weakref.ref(within)
        del before, within
        gc.collect()
        assert new() is None
        assert old() is not None
    gc.collect()
    assert old() is None
    assert gc.get_freeze_count() == frozen


def test_another_s_frozen_heap_stays_frozen():
    gc.freeze()
    try:
        with processor.quiet_collector():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_an_error_thaws_the_heap():
    frozen = gc.get_freeze_count()
    with pytest.raises(KeyError), processor.quiet_collector():
        raise KeyError
    assert gc.get_freeze_count() == frozen
