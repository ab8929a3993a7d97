"""Freed memory goes back, and the collector rests while two networks are compared."""

from __future__ import annotations

import gc
import weakref

import pytest

from parity.engine import memory


def test_freed_memory_goes_back(monkeypatch):
    calls = []
    monkeypatch.setattr(memory, "call_allocator", lambda name, first: calls.append((name, first)))
    memory.return_freed_memory()
    assert calls == [("malloc_trim", 0)]


class Ring:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


def test_the_collector_sees_only_what_is_made_within():
    before, frozen = Ring(), gc.get_freeze_count()
    old = weakref.ref(before)
    with memory.quiet_collector():
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
        with memory.quiet_collector():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_an_error_thaws_the_heap():
    frozen = gc.get_freeze_count()
    with pytest.raises(KeyError), memory.quiet_collector():
        raise KeyError
    assert gc.get_freeze_count() == frozen
