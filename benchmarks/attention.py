"""Time and memory of criss-cross attention in both twins, against the implementations they replace.

Run as `python -m benchmarks.attention`, on the CPU. All four get the same weights and inputs, one each of a
process, and must agree on the result. Both of torch's run as `models_torch` sets torch up, without oneDNN.
Times are of interleaved calls. Memory is what a first call adds to the greatest resident memory of its process, every
tensor in a mapping of its own: in a heap one implementation differs by a quarter from process to process, by chance.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.attention_worker import NAMES
from benchmarks.measure import Ratio, start_workers

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


def main() -> None:
    table = Table(title="Criss-cross attention, 512 channels, batch 1: ours / theirs (quartiles)")
    for heading in ("features", "pass", "ours / theirs", "time", "peak memory"):
        table.add_column(heading)
    misses = []
    for size in SIZES:
        for passes in PASSES:
            for ours, (time, memory) in measure(size, passes).items():
                row = (f"{size[0]} × {size[1]}", passes, f"{ours} / {RIVALS[ours]}")
                table.add_row(*row, str(time), f"{memory:.2f}")
                if not time.within(LIMIT) or memory > LIMIT + MEMORY_NOISE:
                    misses.append(", ".join(row))
    Console().print(table)
    if misses:
        Console().print(f"Ours is above {LIMIT:.1f} × in: {'; '.join(misses)}")
    else:
        Console().print(f"Ours is at most {LIMIT:.1f} × in every cell, within noise.")


if __name__ == "__main__":
    main()
