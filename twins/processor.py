"""Settings of the processor and its memory, made before either framework is loaded."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of `mallopt`'s settings in glibc's malloc.h."""

ALLOCATOR_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""The user's own settings of glibc's allocator."""


def configure_processor() -> None:
    """Use every core and its vector units, and let waiting threads sleep soon. Call before importing torch or Paddle.

    Paddle would pin itself to one thread. Threads that spin while they wait, by default for milliseconds, make a
    forward pass ten times slower as soon as another process wants a core; some microseconds (torch's OpenMP, GNU's,
    counts turns) save the waking between one operation and the next.
    Paddle's MKL, of 2019, takes an AMD processor for one without AVX2, unless told: its forward pass is then three
    times slower. torch's later MKL needs no telling.
    glibc would give each layer's memory back to the system and ask for it again, a tenth of a forward pass: it keeps
    blocks of up to 64 MiB, unless the environment has settings of its own.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    if _is_amd_with_avx2():
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
    if not os.environ.keys() & set(ALLOCATOR_VARIABLES):
        call_allocator("mallopt", M_MMAP_THRESHOLD, 64 << 20)
        call_allocator("mallopt", M_TRIM_THRESHOLD, 256 << 20)


def call_allocator(name: str, *arguments: int) -> None:
    """Call a function of the C library's allocator, where there is one of that name."""
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    if function is not None:  # not in every C library
        function(*arguments)


def _is_amd_with_avx2() -> bool:
    try:
        description = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split("\n\n")[0]
    except OSError:
        return False
    return "AuthenticAMD" in description and "avx2" in description.split()
