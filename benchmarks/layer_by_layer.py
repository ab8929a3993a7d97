"""What comparing every layer costs over running both networks, and what PaDiff costs for the same.

Full ResNet-101 CCNets in float32, free-running. Each
measurement has a process of its own: wall time of the work alone, and the greatest resident memory of the
whole process, frameworks and weights included. PaDiff 0.2.0 is measured where it is installed.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.measure import Ratio, Row

REPEATS = 3
LIMITS = {"wall time": 1.15, "peak memory": 1.25}


def build_twins(depth: int) -> tuple[object, object]:
    """Both twins with the same stand-in weights, in evaluation mode."""
    from twins.build import build_paddle, build_torch
    from twins.weights import standin_pair

    weights = standin_pair(seed=0, depth=depth)
    ours = build_torch(weights, recurrence=2, device="cpu").eval()
    theirs = build_paddle(weights, recurrence=2)
    theirs.eval()
    return ours, theirs


def run_plain(ours: object, theirs: object, side: int) -> None:
    """The two forward passes alone."""
    import torch

    from models_paddle import paddle
    from parity.networks.inputs import make_images

    images = make_images((side, side), seed=0, batch=1).astype("float32")
    with torch.no_grad():
        ours(torch.from_numpy(images))  # type: ignore[operator]
    with paddle.no_grad():
        theirs(paddle.to_tensor(images))  # type: ignore[operator]


def run_harness(ours: object, theirs: object, side: int) -> None:
    """The same passes, every layer compared."""
    from parity.engine.harness import compare_models
    from parity.networks.inputs import make_images

    images = make_images((side, side), seed=0, batch=1)
    report = compare_models(ours, theirs, images, mode="free", dtypes=["float32"])  # type: ignore[arg-type]
    if not report:
        raise SystemExit(report.summary)


def run_padiff(ours: object, theirs: object, side: int) -> None:
    """PaDiff's forward check of the same pair."""
    import torch
    from padiff import auto_diff

    from models_paddle import paddle
    from parity.networks.inputs import make_images

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

    import parity.engine.harness  # noqa: F401 - loaded before the clock starts

    if name == "padiff":
        import padiff  # noqa: F401

    models = build_twins(depth)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        WORK[name](*models, side)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def measure(names: Sequence[str], side: int, *, depth: int = 101, repeats: int = REPEATS) -> list[list[list[float]]]:
    """Seconds and MB of each of `names`: [name][seconds, MB][round]. They take turns, one process at a time."""
    found: list[list[list[float]]] = [[[], []] for _ in names]
    for _ in range(repeats):
        for name, columns in zip(names, found, strict=True):
            command = [sys.executable, "-m", "benchmarks.layer_by_layer", name, str(side), str(depth)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            for column, figure in zip(columns, json.loads(output.splitlines()[-1]), strict=True):
                column.append(figure)
    return found


def rows() -> Iterator[Row]:
    """The harness over plain passes, and over PaDiff."""
    yield from compare("plain", 769, LIMITS)
    if importlib.util.find_spec("padiff") is not None:
        yield from compare("padiff", 257, dict.fromkeys(LIMITS, 0.25), repeats=5)


def compare(rival: str, side: int, limits: Mapping[str, float], *, repeats: int = REPEATS) -> Iterator[Row]:
    """The harness over one of its rivals, in wall time and memory."""
    theirs, ours = measure((rival, "harness"), side, repeats=repeats)
    for (what, limit), their, our in zip(limits.items(), theirs, ours, strict=True):
        yield Row(what=f"{side} × {side}, every layer / {rival}: {what}", figure=Ratio.of(our, their), at_most=limit)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
