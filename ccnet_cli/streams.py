"""Standard output and error as commands find them: closed, full, a pipe that nobody reads, without `…` or `×`.

The work goes on whatever becomes of its output; characters that cannot be encoded are replaced.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO


class Sink(io.RawIOBase):
    """Writes to a descriptor. What that refuses is kept as `failure`, and nothing more is written."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        try:
            while len(view) and self.failure is None:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            self.failure = error
        return memoryview(data).nbytes


def guard_streams() -> tuple[Sink, Sink]:
    """Put sinks before standard output and error; where there is none, what would go there is dropped."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free: this one
    sinks = Sink(1), Sink(2)
    sys.stdout, sys.stderr = _wrap(sinks[0], sys.stdout), _wrap(sinks[1], sys.stderr)
    return sinks


def finish(output: Sink, code: int) -> int:
    """Flush, and the exit code: what is lost on a full disk is said; a reader who has seen enough is no error."""
    sys.stdout.flush()
    if output.failure is not None and output.failure.errno != errno.EPIPE:
        print(f"error: standard output: {output.failure.strerror}; the work itself was done", file=sys.stderr)
        return code or 2
    return code


def _wrap(sink: Sink, stream: TextIO | None) -> TextIO:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    lines = sink.descriptor == 2 or sink.isatty()
    return io.TextIOWrapper(io.BufferedWriter(sink), encoding=encoding, errors="replace", line_buffering=lines)
