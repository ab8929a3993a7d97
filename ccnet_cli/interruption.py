"""SIGINT and SIGTERM: one line, nothing half-written, exit code 130 or 143, wherever they come.

The first is raised as `Interrupted` and unwinds the command. Imports swallow exceptions, or make others of them: within
one, and wherever a raised one has got nowhere after `GRACE` seconds, the process is ended without unwinding.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

GRACE = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"
"""Which a progress bar hides."""


class Interrupted(KeyboardInterrupt):
    """A signal came."""


class Interruption:
    """What came, and what is to be said and removed."""

    def __init__(self) -> None:
        self.number = 0
        self.message = "interrupted"
        self.process = 0
        self.removals: list[Callable[[], None]] = []

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    def install(self, message: str) -> None:
        """From here on, signals interrupt this process, which then says `message`."""
        self.number, self.message, self.process = 0, message, os.getpid()
        for number in SIGNALS:
            signal.signal(number, self._receive)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Signals that come within are received after it: so are those of threads that libraries start within, which
        would receive them while Paddle's import handles them otherwise."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def end(self, code: int) -> None:
        """The work is done and said: a signal only makes the process end sooner, with `code`."""
        for number in SIGNALS:
            signal.signal(number, lambda *_: os._exit(code))

    def check(self) -> None:
        """Raise what came, if it was swallowed."""
        if self.number:
            raise Interrupted

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:  # a worker that was forked from it
            os._exit(128 + number)
        if self.number:
            return
        self.number = number
        if _is_importing(frame):
            self._leave()
        watchdog = threading.Timer(GRACE, self._leave)
        watchdog.daemon = True
        watchdog.start()
        raise Interrupted

    def _leave(self) -> None:
        for remove in self.removals:
            with suppress(Exception):
                remove()
        with suppress(OSError):
            cursor = SHOW_CURSOR if os.isatty(2) else ""
            os.write(2, f"{cursor}error: {self.message}\n".encode())
        os._exit(self.exit_code)


INTERRUPTION = Interruption()
"""The process's."""


def _is_importing(frame: FrameType | None) -> bool:
    """Whether `frame` runs within an import, or before the interpreter's main module is left."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return sys.is_finalizing()
