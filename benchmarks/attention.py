"""Time and memory of criss-cross attention in both twins, against the implementations they replace.

512 channels, batch 1, on the CPU. All four get the same weights and inputs, one each of a
process, and must agree on the result. Both of torch's run as `models_torch` sets torch up, without oneDNN.
Times are of interleaved calls. Memory is what a first call adds to the greatest resident memory of its process, every
tensor in a mapping of its own: in a heap one implementation differs by a quarter from process to process, by chance.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.attention_worker import NAMES
from benchmarks.measure import Ratio, Row, start_workers

SIZES = ((97, 97), (129, 257))  # of the features of a 769 x 769 and a 1024 x 2048 image
PASSES = ("forward", "forward + backward")
RIVALS = {"torch twin": "torch reference", "Paddle twin": "PaddleSeg"}
ROUNDS = 9
LIMIT = 1.0
OWN_MAPPINGS = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10)}
"""The environment in which glibc maps every tensor by itself, and gives its memory back at once."""
MEMORY_NOISE = 0.02
"""Spread of one implementation's peak memory from process to process, so measured."""
AGREEMENT = 1e-5


def measure(size: tuple[int, int], passes: str) -> dict[str, tuple[Ratio, float]]:
    """For each twin, time and memory as ratios to its rival's."""
    modules = [("benchmarks.attention_worker", name, *map(str, size), passes) for name in NAMES]
    with start_workers(modules, **OWN_MAPPINGS) as started:
        memory = {name: worker.memory for name, worker in zip(NAMES, started, strict=True)}
    with start_workers(modules) as started:
        workers = dict(zip(NAMES, started, strict=True))
        checks = [worker.check for worker in started]
        if max(checks) > min(checks) * (1 + AGREEMENT):
            raise RuntimeError(f"the implementations disagree: {dict(zip(NAMES, checks, strict=True))}")
        seconds: dict[str, list[float]] = {name: [] for name in NAMES}
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                seconds[name].append(worker.time())
    return {
        ours: (Ratio.of(seconds[ours], seconds[theirs]), memory[ours] / memory[theirs])
        for ours, theirs in RIVALS.items()
    }


def rows() -> Iterator[Row]:
    """Ours over theirs, by size, pass and framework."""
    for height, width in SIZES:
        for passes in PASSES:
            for ours, (time, memory) in measure((height, width), passes).items():
                what = f"{height} × {width} features, {passes}, {ours} / {RIVALS[ours]}"
                yield Row(what=f"{what}: time", figure=time, at_most=LIMIT)
                yield Row(what=f"{what}: memory", figure=Ratio.once(memory), at_most=LIMIT + MEMORY_NOISE)
