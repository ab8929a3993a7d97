"""The port's tensors in which the reference's own values stand."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from parity.engine.events import version
from parity.engine.stream import Event
from twins.lazy import Tensor

MOST = 256
"""Tensors that are remembered."""


class Given:
    """Remembers which of the port's tensors were given the values of which of the reference's."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any, int, int]] = {}
        """Weak references to both, and their versions."""

    def note(self, own: Any, expected: Tensor) -> None:
        """The port's tensor `own` is a copy of `expected`."""
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[id(own)] = (weakref.ref(own), weakref.ref(expected), own.inplace_version, version(expected))

    def hold(self, actual: Sequence[Any], event: Event) -> bool:
        """Whether these are the very tensors that an event's own stand in, on both sides, unchanged since."""
        if len(actual) != len(event.tensors):
            return False
        for own, expected in zip(actual, event.tensors, strict=True):
            known = self._known.get(id(own))
            if known is None or known[0]() is not own or known[1]() is not expected:
                return False
            if known[2:] != (own.inplace_version, version(expected)):
                return False
        return True
