"""What comparing every layer costs over running both networks, and what PaDiff costs for the same.

Run as `python -m benchmarks.layer_by_layer`. Full ResNet-101 CCNets in float32, free-running. Each
measurement has a process of its own: wall time of the work alone, and the greatest resident memory of the
whole process, frameworks and weights included. PaDiff 0.2.0 is measured where it is installed.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from rich import box
from rich.table import Table

from converter.console import wide_console

REPEATS = 3
LIMITS = {"wall": 1.15, "memory": 1.25}


def build_twins(depth: int) -> tuple[object, object]:
    """Both twins with the same stand-in weights, in evaluation mode."""
    from parity.networks import build_paddle, build_torch
    from parity.weights import standin_pair

    weights = standin_pair(seed=0, depth=depth)
    ours = build_torch(weights, recurrence=2, device="cpu").eval()
    theirs = build_paddle(weights, recurrence=2)
    theirs.eval()
    return ours, theirs


def run_plain(ours: object, theirs: object, side: int) -> None:
    """The two forward passes alone."""
    import torch

    from models_paddle import paddle
    from parity.inputs import make_images

    images = make_images((side, side), seed=0, batch=1).astype("float32")
    with torch.no_grad():
        ours(torch.from_numpy(images))  # type: ignore[operator]
    with paddle.no_grad():
        theirs(paddle.to_tensor(images))  # type: ignore[operator]


def run_harness(ours: object, theirs: object, side: int) -> None:
    """The same passes, every layer compared."""
    from parity.harness import compare_models
    from parity.inputs import make_images

    images = make_images((side, side), seed=0, batch=1)
    report = compare_models(ours, theirs, images, mode="free", dtypes=["float32"])  # type: ignore[arg-type]
    if not report:
        raise SystemExit(report.summary)


def run_padiff(ours: object, theirs: object, side: int) -> None:
    """PaDiff's forward check of the same pair."""
    import torch
    from padiff import auto_diff

    from models_paddle import paddle
    from parity.inputs import make_images

    images = make_images((side, side), seed=0, batch=1).astype("float32")
    inputs = ({"images": paddle.to_tensor(images)}, {"images": torch.from_numpy(images)})
    options = {"single_step": False, "diff_phase": "forward", "atol": 1e-2, "rtol": 1e-2}
    auto_diff(theirs, ours, inputs, auto_weights=False, options=options)


WORK: dict[str, Callable[[object, object, int], None]] = {
    "plain": run_plain,
    "harness": run_harness,
    "padiff": run_padiff,
}


def work(name: str, side: int, depth: int) -> None:
    """In the child: do the work once and print its seconds and peak memory in MB."""
    import contextlib

    import parity  # noqa: F401 - configures the threads before torch is imported

    models = build_twins(depth)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        WORK[name](*models, side)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def measure(name: str, side: int, *, depth: int = 101, repeats: int = REPEATS) -> tuple[float, float]:
    """Median seconds and MB of `repeats` child processes."""
    command = [sys.executable, "-m", "benchmarks.layer_by_layer", name, str(side), str(depth)]
    runs = [
        json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
        for _ in range(repeats)
    ]
    seconds, memory = zip(*runs, strict=True)
    return statistics.median(seconds), statistics.median(memory)


def main() -> None:
    """Print the table."""
    table = Table("ResNet-101, float32", "plain passes", "ours", "ratio", "limit", box=box.SIMPLE)
    plain, ours = measure("plain", 769), measure("harness", 769)
    for index, (what, unit) in enumerate((("wall", "s"), ("memory", "MB"))):
        row = [f"{values[index]:.1f} {unit}" for values in (plain, ours)]
        table.add_row(f"769 × 769, {what}", *row, f"{ours[index] / plain[index]:.2f} ×", f"≤ {LIMITS[what]} ×")
    shallow = [measure(name, 257, depth=50)[0] for name in ("plain", "harness")]
    deep = [measure(name, 257)[0] for name in ("plain", "harness")]
    table.add_row(
        "257 × 257, cost over plain, 50 → 101 layers",
        f"{shallow[1] / shallow[0]:.2f} ×",
        f"{deep[1] / deep[0]:.2f} ×",
        "",
        "flat",
    )
    if importlib.util.find_spec("padiff") is not None:
        ours, padiff = measure("harness", 257), measure("padiff", 257)
        for index, (what, limit) in enumerate((("wall", "≥ 4 ×"), ("memory", "≥ 4 ×"))):
            ratio = f"{padiff[index] / ours[index]:.1f} ×"
            table.add_row(f"257 × 257, PaDiff's {what}", f"{padiff[index]:.1f}", f"{ours[index]:.1f}", ratio, limit)
    wide_console().print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
