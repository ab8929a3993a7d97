"""One implementation of criss-cross attention, served to `benchmarks.attention` from a process of its own.

Run as `python -m benchmarks.attention_worker IMPLEMENTATION HEIGHT WIDTH PASS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import serve

CHANNELS, QUERY_CHANNELS = 512, 64
GAMMA = 0.7
NAMES = {
    "torch twin": ("query", "key", "value"),
    "torch reference": ("query_conv", "key_conv", "value_conv"),
    "Paddle twin": ("query", "key", "value"),
    "PaddleSeg": ("q_conv", "k_conv", "v_conv"),
}
"""Implementation -> its names of the three projections."""


def make_weights() -> list[np.ndarray[Any, Any]]:
    """Query, key and value weights that make energies of order one."""
    generator = np.random.default_rng(0)
    widths = {QUERY_CHANNELS: 0.3, CHANNELS: 1.0}
    outputs = (QUERY_CHANNELS, QUERY_CHANNELS, CHANNELS)
    shapes = [(width, CHANNELS, 1, 1) for width in outputs]
    return [
        (generator.standard_normal(shape) * widths[shape[0]] / np.sqrt(CHANNELS)).astype(np.float32) for shape in shapes
    ]


def make_features(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal((1, CHANNELS, height, width), dtype=np.float32)


def torch_run(name: str, height: int, width: int, *, backward: bool) -> Callable[[], Any]:
    """One call of a torch implementation; with `backward` also the gradients of input and weights."""
    import torch

    import models_torch  # noqa: F401 - its settings of torch, for the reference too

    if name == "torch twin":
        from models_torch.attention import CrissCrossAttention

        module: Any = CrissCrossAttention(CHANNELS, QUERY_CHANNELS)
    else:
        from benchmarks import reference_attention

        module = reference_attention.CrissCrossAttention(CHANNELS)
    with torch.no_grad():
        for projection, weight in zip(NAMES[name], make_weights(), strict=True):
            getattr(module, projection).weight.copy_(torch.from_numpy(weight))
            getattr(module, projection).bias.zero_()
        module.gamma.fill_(GAMMA)
    features = torch.from_numpy(make_features(height, width)).requires_grad_(backward)
    gradient = torch.ones_like(features)

    def run() -> Any:
        module.zero_grad()
        features.grad = None
        with torch.set_grad_enabled(backward):
            output = module(features)
        if backward:
            output.backward(gradient)
        return output.detach()

    return run


def paddle_run(name: str, height: int, width: int, *, backward: bool) -> Callable[[], Any]:
    """The same of a Paddle implementation."""
    from models_paddle import paddle

    if name == "Paddle twin":
        from models_paddle.attention import CrissCrossAttention

        module = CrissCrossAttention(CHANNELS, QUERY_CHANNELS)
    else:
        from paddleseg.models import ccnet

        module = ccnet.CrissCrossAttention(CHANNELS)
    for projection, weight in zip(NAMES[name], make_weights(), strict=True):
        getattr(module, projection).weight.set_value(weight)
        getattr(module, projection).bias.set_value(np.zeros(len(weight), np.float32))
    module.gamma.set_value(np.array([GAMMA], np.float32))
    features = paddle.to_tensor(make_features(height, width), stop_gradient=not backward)
    gradient = paddle.ones_like(features)

    def run() -> Any:
        module.clear_gradients(set_to_zero=False)
        features.clear_gradient(set_to_zero=False)
        with paddle.set_grad_enabled(backward):
            output = module(features)
        if backward:
            paddle.autograd.backward([output], [gradient])
        return output.detach()

    return run


def main(name: str, height: str, width: str, passes: str) -> None:
    make_run = torch_run if name.startswith("torch") else paddle_run
    run = make_run(name, int(height), int(width), backward=passes == "forward + backward")
    serve(run, check=lambda output: float(np.abs(output.numpy()).mean()))


if __name__ == "__main__":
    main(*sys.argv[1:])
