"""Running a worker in processes of its own, which may crash or hang without taking the gate with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converter.files.atomic import temporary_folder
from twins import namespaces


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a worker ended: exit code (negative: killed by that signal; None: it took too long) and what it printed."""

    code: int | None
    output: str

    def __bool__(self) -> bool:
        return self.code == 0

    @property
    def explanation(self) -> str:
        """One line."""
        if self.code is None:
            return "did not end in time"
        last = next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "no output")
        if self.code < 0:
            return f"crashed with {signal.Signals(-self.code).name}"
        return f"exit code {self.code}: {last[:300]}"


def run_workers(
    module: str, arguments: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]], *, seconds: float
) -> list[Finished]:
    """The script `module` once for each list of arguments, all at once; each ends, or is ended after `seconds`."""
    with temporary_folder() as folder:
        logs = [folder / f"{number}.log" for number in range(len(arguments))]
        workers = []
        for log, own, environment in zip(logs, arguments, environments, strict=True):
            with log.open("wb") as stream:
                workers.append(
                    subprocess.Popen(  # noqa: S603 - our own module
                        [sys.executable, "-W", "ignore", namespaces.__file__, module, *own],
                        stdout=stream,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, **environment},
                    )
                )
        end = time.monotonic() + seconds
        try:
            codes = [_wait(worker, end - time.monotonic()) for worker in workers]
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()
        texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs]
    return [Finished(code=code, output=text) for code, text in zip(codes, texts, strict=True)]


def _wait(worker: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return worker.wait(max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        return None
