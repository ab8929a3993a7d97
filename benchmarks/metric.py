"""Time to count one image's confusion, against PaddleSeg's `calculate_area`.

On the CPU. Both count the same 1024 × 2048 classes and labels, in rounds
that take turns, and must arrive at the same integers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import models_paddle  # isort: skip - configures the threads before Paddle is imported
import numpy as np
from paddleseg.utils import metrics

from benchmarks.measure import Ratio, Row
from cityscapes.confusion import count_confusion
from cityscapes.labels import IGNORED, NUM_CLASSES

SHAPE = (1024, 2048)
ROUNDS = 7
LIMIT = 40

paddle = models_paddle.paddle


def make_arrays() -> tuple[Any, Any]:
    """Classes and labels, uint8, in blobs of 8 × 8 pixels; one in ten labels is ignored."""
    rng = np.random.default_rng(0)
    label, prediction = (
        rng.integers(0, NUM_CLASSES, (SHAPE[0] // 8, SHAPE[1] // 8), np.uint8).repeat(8, 0).repeat(8, 1)
        for _ in range(2)
    )
    label[rng.random(SHAPE) < 0.1] = IGNORED
    return prediction, label


def stack_scalars(parts: list[Any]) -> Any:
    """What PaddleSeg's concatenation of scalars meant, which current Paddle refuses."""
    return paddle.stack([part.reshape([]) for part in parts])


def measure(run: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def rows() -> Iterator[Row]:
    """PaddleSeg's time over ours."""
    prediction, label = make_arrays()
    tensors = [paddle.to_tensor(array.astype(np.int64)) for array in (prediction, label)]
    wide = [array.astype(np.int64) for array in (prediction, label)]
    paddle.concat = stack_scalars

    def theirs() -> list[Any]:
        return [area.numpy() for area in metrics.calculate_area(*tensors, NUM_CLASSES, IGNORED)]

    confusion = count_confusion(prediction, label)
    for area, expected in zip(theirs(), (np.diag(confusion), confusion.sum(0), confusion.sum(1)), strict=True):
        np.testing.assert_array_equal(area, expected)
    for what, arrays in (("bytes, as the evaluation has them", (prediction, label)), ("int64", wide)):
        rounds = [(measure(theirs), measure(lambda arrays=arrays: count_confusion(*arrays))) for _ in range(ROUNDS)]
        figure = Ratio.of(*zip(*rounds, strict=True))
        yield Row(what=f"1024 × 2048, 19 classes, {what}: PaddleSeg / ours", figure=figure, at_least=LIMIT)
