"""OpenMP settings of both frameworks, which read them once, when they are loaded."""

from __future__ import annotations

import os


def configure_threads() -> None:
    """Use every core, and let waiting threads sleep. Call before importing torch or Paddle.

    Paddle would pin itself to one thread. Threads that spin while they wait make a forward pass ten
    times slower as soon as another process wants a core.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
