"""What sliding windows cost beyond the tiles' forward passes, against PaddleSeg's `slide_inference`; and decoding.

On the CPU. The Paddle twin of depth 18 on one 1024 × 2048 picture, windows of 769, float32. Overhead is the time of
everything outside the network: resizing, accumulating, averaging, choosing the class. Memory is the greatest resident
memory of a process of its own, and what of it the work added. The last row evaluates generated pictures with decoding
ahead, the network on all cores but one.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import MAXRSS_UNIT, Ratio, Row

SIZE, WINDOW, STRIDE = (1024, 2048), 769, 513
REPEATS = 3
DEPTH = "18"
PICTURES = 6


class Timed:
    """A network that adds up the seconds spent in it and notes when it was called."""

    def __init__(self, network: Callable[[Any], Any]) -> None:
        self.network, self.seconds = network, 0.0
        self.starts: list[float] = []

    def __call__(self, images: Any) -> Any:
        start = time.perf_counter()
        self.starts.append(start)
        logits = self.network(images)
        self.seconds += time.perf_counter() - start
        return logits


def build(depth: int) -> Any:
    """The Paddle twin with stand-in weights."""
    from twins.build import build_paddle
    from twins.weights import standin_pair

    return build_paddle(standin_pair(seed=0, depth=depth), recurrence=2)


def make_ours(model: Any, image: Any) -> tuple[Timed, Callable[[], Any]]:
    import torch

    from cityscapes.networks import PaddleNetwork
    from cityscapes.predict import choose_classes, predict
    from cityscapes.protocols import OFFICIAL

    timed = Timed(PaddleNetwork(model))
    return timed, lambda: choose_classes(predict(timed, torch.from_numpy(image), OFFICIAL)[0])[0].numpy()


def make_paddleseg(model: Any, image: Any) -> tuple[Timed, Callable[[], Any]]:
    from paddleseg.core.infer import slide_inference

    from models_paddle import paddle

    model.eval()
    timed = Timed(lambda tile: model(tile)[0])
    tensor = paddle.to_tensor(image)

    def network(tile: Any) -> list[Any]:
        logits = timed(tile)
        return [paddle.nn.functional.interpolate(logits, tile.shape[2:], mode="bilinear", align_corners=True)]

    def run() -> Any:
        with paddle.no_grad():
            logits = slide_inference(network, tensor, (WINDOW, WINDOW), (STRIDE, STRIDE))
            return paddle.argmax(logits, axis=1, keepdim=True, dtype="int32").numpy()

    return timed, run


MAKE = {"ours": make_ours, "paddleseg": make_paddleseg}


def work(name: str, depth: int) -> None:
    """In the child: predict a few times and print overhead, total and memory."""
    import numpy as np

    model = build(depth)
    image = np.random.default_rng(0).standard_normal((1, 3, *SIZE), dtype=np.float32)
    timed, run = MAKE[name](model, image)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    overheads, totals = [], []
    for _ in range(REPEATS + 1):
        timed.seconds = 0.0
        start = time.perf_counter()
        classes = run()
        totals.append(time.perf_counter() - start)
        overheads.append(totals[-1] - timed.seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "overhead": statistics.median(overheads[1:]),
                "total": statistics.median(totals[1:]),
                "peak": peak * MAXRSS_UNIT / 1e6,
                "added": (peak - before) * MAXRSS_UNIT / 1e6,
                "check": np.bincount(classes.ravel(), minlength=19).tolist(),
            }
        )
    )


def decode_ahead(folder: str) -> None:
    """In the child: evaluate generated pictures, and print seconds per picture of decoding and of waiting for it."""
    from cityscapes.evaluate import Task, evaluate, load_image
    from cityscapes.layout import decode, list_samples
    from cityscapes.networks import TorchNetwork
    from cityscapes.protocols import MMSEG
    from cityscapes.totals import Totals
    from twins.build import build_torch
    from twins.weights import standin_pair

    weights = standin_pair(seed=0, depth=18, family="mmseg")
    network = Timed(TorchNetwork(build_torch(weights, recurrence=2, device="cpu")))
    samples = list_samples(Path(folder))
    start = time.perf_counter()
    for sample in samples:
        load_image(decode(sample), MMSEG)
    decoding = (time.perf_counter() - start) / len(samples)
    ends: list[float] = []
    start = time.perf_counter()
    evaluate(
        Task(networks={"torch": network}, protocol=MMSEG),
        list(enumerate(samples)),
        Totals.empty(("torch",), None),
        after=lambda totals: ends.append(time.perf_counter()),
    )
    whole = (ends[-1] - start) / len(samples)
    # The first picture can only be waited for.
    waits = [began - ended for began, ended in zip(network.starts[1:], ends, strict=False)]
    print(json.dumps({"whole": whole, "decoding": decoding, "waiting": statistics.mean(waits)}))


def child(*arguments: str, **environment: str) -> dict[str, Any]:
    """What this module prints when it is run with these arguments."""
    command = [sys.executable, "-m", "benchmarks.sliding", *arguments]
    environment = {**os.environ, **environment}
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    return dict(json.loads(output.splitlines()[-1]))


def rows() -> Iterator[Row]:
    """Ours over PaddleSeg's, and how much of decoding is hidden."""
    ours, theirs = (child(name, DEPTH) for name in MAKE)
    moved = sum(abs(a - b) for a, b in zip(ours["check"], theirs["check"], strict=True))
    if moved > 1e-3 * SIZE[0] * SIZE[1]:
        raise RuntimeError(f"the implementations disagree: {ours['check']}, {theirs['check']}")
    for what, key, limit in (
        ("beyond the tiles' forward passes", "overhead", 0.25),
        ("wall time", "total", None),
        ("peak memory", "peak", 0.75),
        ("memory added", "added", None),
    ):
        figure = Ratio.once(ours[key] / theirs[key])
        yield Row(what=f"1024 × 2048, Paddle twin, ours / PaddleSeg's: {what}", figure=figure, at_most=limit)
    with tempfile.TemporaryDirectory() as folder:
        from cityscapes.generate import make_dataset

        make_dataset(Path(folder), counts={"val": PICTURES})
        cores = max((os.cpu_count() or 2) - 1, 1)
        found = child("decoding", folder, OMP_NUM_THREADS=str(cores))
    waited = Ratio.once(found["waiting"] / found["decoding"])
    yield Row(what="1024 × 2048, torch twin: waiting for decoding / decoding", figure=waited)


if __name__ == "__main__":
    if sys.argv[1] == "decoding":
        decode_ahead(sys.argv[2])
    else:
        work(sys.argv[1], int(sys.argv[2]))
