"""What the benchmarks share: rows of one table, processes that take turns, and ratios with their noise."""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes."""


@dataclass(frozen=True)
class Ratio:
    """Ours over theirs: the median of the rounds, between their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        """Round by round, so that what slows a whole round down cancels. At least two rounds."""
        ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
        low, median, high = statistics.quantiles(ratios, method="inclusive")
        return cls(median, low, high)

    @classmethod
    def once(cls, value: float) -> Ratio:
        """A figure that was measured once."""
        return cls(value, value, value)

    def __str__(self) -> str:
        spread = f" ({self.low:.2f} … {self.high:.2f})" if self.low < self.high else ""
        return f"{self.median:.2f}{spread}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: a figure, and what it may be `at_most`, or must be `at_least`, if there is such a limit."""

    what: str
    figure: Ratio
    unit: str = "×"
    at_most: float | None = None
    at_least: float | None = None

    @property
    def limit(self) -> str:
        """As the table says it."""
        sign, limit = ("≤", self.at_most) if self.at_least is None else ("≥", self.at_least)
        return "" if limit is None else f"{sign} {limit:g}"

    @property
    def met(self) -> bool | None:
        """Whether the median is within the limit, or out of it by less than the noise. None without a limit."""
        if self.at_most is not None:
            return self.figure.low <= self.at_most
        return None if self.at_least is None else self.figure.high >= self.at_least


def run_benchmark(name: str) -> list[Row]:
    """The rows of `benchmarks.name`, each printed as it comes."""
    rows = []
    for row in importlib.import_module(f"benchmarks.{name}").rows():
        print(f"{name}: {row.what}: {row.figure} {row.unit}", file=sys.stderr, flush=True)
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Usage:
    """What a command took: wall time and CPU time in seconds, and its greatest resident memory in bytes."""

    wall: float
    cpu: float
    memory: int


def run_child(command: Sequence[str]) -> Usage:
    """Run a command to its end. Raises CalledProcessError if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT)


def command(name: str) -> str:
    """Where one of the project's commands is installed."""
    return str(Path(sys.executable).with_name(name))


def serve(run: Callable[[], Any], check: Callable[[Any], float]) -> None:
    """The worker's side: measure the memory of a first call, then time a call for each line of standard input.

    The memory is what the call adds to the greatest resident memory that imports, weights and inputs
    had reached. `check` condenses the result to a number that all implementations must share.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = run()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * MAXRSS_UNIT
    print(json.dumps({"memory": memory, "check": check(result)}), flush=True)
    del result
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


class Worker:
    """A process that runs `serve`: its first call's `memory` and `check`, and further calls by `time`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        first = self._read()
        self.memory, self.check = first["memory"], first["check"]

    def time(self) -> float:
        """Seconds of one more call."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return self._read()["seconds"]

    def _read(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended early, with exit code {self.process.wait()}")
        return dict(json.loads(line))


@contextmanager
def start_workers(modules: Sequence[Sequence[str]], **environment: str) -> Iterator[list[Worker]]:
    """A worker for each module and its arguments. Each has made its first call alone before the next starts."""
    variables = {**os.environ, **environment}
    with ExitStack() as stack:
        workers = []
        for module in modules:
            command = [sys.executable, "-m", *module]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
            stack.enter_context(process)
            stack.callback(process.kill)
            workers.append(Worker(process))
        yield workers
