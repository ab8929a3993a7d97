"""Settings of the processor's libraries, which both frameworks read once, when they are loaded."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path


def configure_processor() -> None:
    """Use every core and its vector units, and let waiting threads sleep soon. Call before importing torch or Paddle.

    Paddle would pin itself to one thread. Threads that spin while they wait, by default for milliseconds, make a
    forward pass ten times slower as soon as another process wants a core; some microseconds (torch's OpenMP, GNU's,
    counts turns) save the waking between one operation and the next.
    Paddle's MKL, of 2019, takes an AMD processor for one without AVX2, unless told: its forward pass is then three
    times slower. torch's later MKL needs no telling.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    if _is_amd_with_avx2():
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")


def return_freed_memory() -> None:
    """Give the system back what was freed; glibc would keep it, in pieces that the next large tensors do not fit."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in every C library
        if trim is not None:
            trim(0)


def _is_amd_with_avx2() -> bool:
    try:
        description = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split("\n\n")[0]
    except OSError:
        return False
    return "AuthenticAMD" in description and "avx2" in description.split()
