"""Time and memory of `ccnet-convert`, verification included, against the naive script; and how they grow.

The source is a full-size official checkpoint (286 MB) of stand-in weights. The naive script loads it with torch and
saves its arrays with Paddle, unfolded, unchecked and under their old names. Each run is a process of its own; the two
take turns. The growth is that from 1 GB to 8 GB, of a checkpoint with so many classes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import Ratio, Row, Usage, command, run_child
from cityscapes.labels import NUM_CLASSES
from converter.files.write import write_tensors
from twins.standin import make_state_dict

NAIVE = """
import sys, torch, paddle
state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
paddle.save({key: value.numpy() for key, value in state.items()}, sys.argv[2])
"""
LIMIT = 0.6
ROUNDS = 7
SIZES = (10**9, 8 * 10**9)
"""Bytes."""
HEAD = 64
"""Channels of a depth-18 stand-in's classifiers."""
LINEAR = 1.25
SPARE = 0.3
"""GB above source and target, which are mapped."""


def rows() -> Iterator[Row]:
    """Ours over the naive script's, and eight times the size over eight times the cost."""
    with tempfile.TemporaryDirectory() as folder:
        yield from against_naive(Path(folder))
        yield from growth(Path(folder))


def against_naive(folder: Path) -> Iterator[Row]:
    source = folder / "official.pth"
    subprocess.run([sys.executable, "-m", "twins.standin", source], check=True)
    naive = [sys.executable, "-c", NAIVE, str(source), str(folder / "naive.pdparams")]
    for line in (convert(source), naive):  # once unmeasured, to read the files into the system's cache
        run_child(line)
    pairs = [(run_child(convert(source)), run_child(naive)) for _ in range(ROUNDS)]
    for what, cost in (("wall time", lambda usage: usage.wall), ("peak memory", lambda usage: usage.memory)):
        ratio = Ratio.of([cost(ours) for ours, _ in pairs], [cost(theirs) for _, theirs in pairs])
        yield Row(
            what=f"official checkpoint, 286 MB, ccnet-convert / naive script: {what}", figure=ratio, at_most=LIMIT
        )


def growth(folder: Path) -> Iterator[Row]:
    found: list[Usage] = []
    for size in SIZES:
        source = folder / f"wide_{size}.pth"
        write_wide(source, size)
        found.append(run_child(convert(source)))
    small, large = found
    factor = SIZES[1] / SIZES[0]
    seconds = Ratio.once(large.cpu / small.cpu / factor)
    yield Row(what="8 GB / 1 GB checkpoint: CPU time, by size", figure=seconds, at_most=LINEAR)
    above = [(usage.memory - 2 * size) / 1e9 for usage, size in zip(found, SIZES, strict=True)]
    yield Row(
        what="8 GB checkpoint: memory above both files, mapped", figure=Ratio.once(above[1]), unit="GB", at_most=SPARE
    )


def convert(source: Path) -> list[str]:
    """The command that converts `source`."""
    return [command("ccnet-convert"), str(source), str(source.with_suffix(".pdparams")), "--force"]


def write_wide(path: Path, nbytes: int) -> None:
    """An official checkpoint of about `nbytes`, never in memory: depth 18, its two classifiers of so many classes."""
    classes = nbytes // (2 * HEAD * np.dtype(np.float32).itemsize)
    state = make_state_dict("official", depth=18)
    for key, value in state.items():
        if value.shape[:1] == (NUM_CLASSES,):
            shape = (classes, *value.shape[1:])
            state[key] = np.memmap(path.with_name(key), np.float32, "w+", shape=shape)
            for start in range(0, classes, NUM_CLASSES):
                state[key][start : start + NUM_CLASSES] = value[: classes - start]
    write_tensors(path, "pth", state.items())
    for key in state:
        path.with_name(key).unlink(missing_ok=True)
