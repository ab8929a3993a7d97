"""Final outputs of both twins, compared in both precisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from parity.comparison import compare_float32, compare_float64
from parity.networks import PaddleNetwork, TorchNetwork
from parity.report import Layer, Report
from parity.weights import WeightPair

Array = np.ndarray[Any, Any]
Progress = Callable[[str], None]

OUTPUTS = ("head", "auxiliary_head")
"""The modules whose outputs are the network's: logits and auxiliary logits, (N, K, h, w)."""


def compare_outputs(
    weights: WeightPair,
    inputs: Mapping[str, Array],
    *,
    recurrence: int,
    device: str = "cpu",
    progress: Progress = lambda phase: None,
) -> Report:
    """Run both twins on every input (name -> (N, 3, H, W), float64), in float32 and float64, and compare."""
    progress("torch")
    expected = _run(TorchNetwork(weights, recurrence=recurrence, device=device), inputs)
    progress("Paddle")
    actual = _run(PaddleNetwork(weights, recurrence=recurrence, device=device), inputs)
    layers = []
    for dtype in ("float64", "float32"):
        for name in inputs:
            for path, output in zip(OUTPUTS, range(len(OUTPUTS)), strict=True):
                ours, theirs = actual[name, dtype][output], expected[name, dtype][output]
                comparison = (
                    compare_float64(ours, theirs)
                    if dtype == "float64"
                    else compare_float32(ours, theirs, expected[name, "float64"][output])
                )
                layers.append(
                    Layer(
                        path=path,
                        call=0,
                        output=0,
                        input=name,
                        shape=theirs.shape,
                        mode="free",
                        dtype=dtype,
                        comparison=comparison,
                    )
                )
    return Report(layers=tuple(layers), weights=weights.summary(), recurrence=recurrence)


def _run(
    network: TorchNetwork | PaddleNetwork, inputs: Mapping[str, Array]
) -> dict[tuple[str, str], tuple[Array, ...]]:
    outputs = {}
    for dtype in ("float32", "float64"):
        network.cast(dtype)
        for name, images in inputs.items():
            outputs[name, dtype] = network.run(images.astype(dtype))
    return outputs
