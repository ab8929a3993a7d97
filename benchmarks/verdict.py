"""What the default verdict of a passing pair costs over its plain passes.

Full ResNet-101 CCNets. The passes that the comparison makes are counted by their input, precision, mode and gradients;
then the networks make as many of each by themselves, in the same process. Its backward passes are not among them.
"""

from __future__ import annotations

import collections
import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.layer_by_layer import build_twins
from benchmarks.measure import Ratio, Row

ROUNDS = 3
LIMIT = 1.3
Passes = collections.Counter[tuple[str, str, tuple[int, ...], bool, bool]]
"""(framework, dtype, shape of the images, whether it trains, whether gradients are kept) -> number."""


def rows() -> Iterator[Row]:
    """The comparison's time over that of its passes."""
    pair = dict(zip(("torch", "paddle"), build_twins(101), strict=True))
    verdicts, plain = [], []
    for _ in range(ROUNDS + 1):  # the first warms up
        seconds, passes = time_verdict(pair)
        verdicts.append(seconds)
        plain.append(sum(number * time_pass(pair, one) for one, number in passes.items()))
    figure = Ratio.of(verdicts[1:], plain[1:])
    yield Row(what="ResNet-101, default verdict / its plain passes: wall time", figure=figure, at_most=LIMIT)


def time_verdict(pair: dict[str, Any]) -> tuple[float, Passes]:
    """Seconds of a default comparison, and the passes that it made. Raises RuntimeError if the pair fails."""
    import torch

    from models_paddle import paddle
    from parity.engine.harness import compare_models
    from parity.networks.inputs import DEFAULT_SIZES, make_images

    passes: Passes = collections.Counter()
    enabled = {"torch": torch.is_grad_enabled, "paddle": paddle.is_grad_enabled}
    forwards = {name: type(network).forward for name, network in pair.items()}

    def counted(name: str) -> Any:
        def forward(self: Any, images: Any) -> Any:
            dtype = str(images.dtype).rpartition(".")[2]
            passes[name, dtype, tuple(images.shape), self.training, enabled[name]()] += 1
            return forwards[name](self, images)

        return forward

    images = {f"{height}x{width}": make_images((height, width), seed=0) for height, width in DEFAULT_SIZES}
    try:
        for name, network in pair.items():
            type(network).forward = counted(name)
        start = time.perf_counter()
        report = compare_models(pair["torch"], pair["paddle"], images)
        seconds = time.perf_counter() - start
    finally:
        for name, network in pair.items():
            type(network).forward = forwards[name]
    if not report:
        raise RuntimeError(report.summary)
    return seconds, passes


def time_pass(pair: dict[str, Any], one: tuple[str, str, tuple[int, ...], bool, bool]) -> float:
    """Seconds of one pass, by the network alone."""
    import torch

    from models_paddle import paddle

    name, dtype, shape, training, gradients = one
    images = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    network = copy.deepcopy(pair[name])
    network = network.to(getattr(torch, dtype)) if name == "torch" else network.to(dtype=dtype)
    network.train() if training else network.eval()
    tensor = torch.from_numpy(images) if name == "torch" else paddle.to_tensor(images)
    with torch.set_grad_enabled(gradients), paddle.set_grad_enabled(gradients):
        network(tensor)
        start = time.perf_counter()
        network(tensor)
        return time.perf_counter() - start
