"""`python -m tests.fuzz [SECONDS [SEED]]`: damaged and hostile files, until time is up.

Each is read as a command would: it must be read, or refused by an error of one line, within ten seconds and within
twice its size and 200 MB of memory, and nothing in it may be run. Exits with 1 and keeps the file where one does
otherwise.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from converter.errors import ConverterError
from parity.errors import ParityInputError
from recipe.pictures import PictureError
from tests.fuzz.mutate import make_pickle, mutate
from tests.fuzz.seeds import Reader, make_seeds

SECONDS, SEED = 300, 0
LIMIT, SPARE = 10, 200 << 20
BATCH = 200
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "shutil.rmtree")


def check(content: bytes, name: str, reader: Reader, folder: Path) -> str | None:
    """Read `content` as a file called `name`; what is wrong with how that went, or None."""
    path = folder / name
    path.write_bytes(content)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * len(content) + SPARE, hard))
    signal.alarm(LIMIT)
    try:
        reader(path)
    except (ConverterError, ParityInputError, PictureError) as error:
        if "\n" in str(error):
            return f"more than one line: {error!r}"
    except BaseException as error:  # noqa: BLE001 - whatever else it is, it is a find
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return None


def run_batch(cases: list[tuple[bytes, str, Reader]], folder: Path, notes: Path) -> None:
    """In a process of its own: `notes` tells how far it came, and what is wrong."""
    sys.addaudithook(_forbid)
    signal.signal(signal.SIGALRM, _time_out)
    for number, (content, name, reader) in enumerate(cases):
        notes.write_text(f"{number}\ndied")
        if wrong := check(content, name, reader, folder):
            notes.write_text(f"{number}\n{wrong}")
            os._exit(1)
    os._exit(0)


def main(seconds: float = SECONDS, seed: int = SEED) -> int:
    """0 unless something was found."""
    draw, start, count = random.Random(seed), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = make_seeds(folder)
        while time.monotonic() - start < seconds:
            cases = [draw_case(seeds, draw) for _ in range(BATCH)]
            if found := run_apart(cases, folder):
                number, wrong = found
                content, file, _ = cases[number]
                kept = Path(tempfile.mkdtemp(prefix="fuzz-")) / file
                kept.write_bytes(content)
                print(f"{kept}: {wrong} (seed {seed}, case {count + number})")
                return 1
            count += BATCH
    print(f"{count} files in {time.monotonic() - start:.0f} s, seed {seed}: each was read, or refused on one line")
    return 0


def draw_case(seeds: dict[str, tuple[bytes, Reader]], draw: random.Random) -> tuple[bytes, str, Reader]:
    if draw.random() < 0.3:
        return make_pickle(draw), "p.pdparams", seeds["p.pdparams"][1]
    name = draw.choice(list(seeds))
    content, reader = seeds[name]
    return mutate(content, draw), name, reader


def run_apart(cases: list[tuple[bytes, str, Reader]], folder: Path) -> tuple[int, str] | None:
    notes = folder / "notes"
    work = Path(tempfile.mkdtemp(dir=folder))
    child = os.fork()
    if child == 0:
        run_batch(cases, work, notes)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(work)
    if status == 0:
        return None
    number, _, wrong = notes.read_text().partition("\n")
    return int(number), f"{wrong} (status {status})"


def _forbid(event: str, _: tuple[Any, ...]) -> None:
    if event.startswith(FORBIDDEN):
        raise SystemExit(f"runs {event}")


def _time_out(*_: Any) -> None:
    raise TimeoutError(f"more than {LIMIT} s")


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3])))
