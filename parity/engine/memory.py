"""Memory while two networks are compared."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from twins.processor import call_allocator


def return_freed_memory() -> None:
    """Give the system back what was freed, which lies in pieces that the next large tensors may not fit."""
    call_allocator("malloc_trim", 0)


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Within, Python's garbage collector does not search what exists already: both frameworks, for a sixth of a second.

    What is made within is collected as ever.
    """
    if gc.get_freeze_count():  # another's, which would be thawed with ours
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
