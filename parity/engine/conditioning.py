"""How far a network carries rounding: its float64 pass against itself, with the error of a precision after each layer.

Isolated passes say whether each layer is the same function, and how far it is off. What those errors, each within its
limit, grow to where the network runs free is a property of the network, not of the port.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from parity.engine.stream import Reference
from parity.networks.arguments import Arguments
from twins.lazy import Tensor, nn, torch
from twins.tensors import flatten, refill

ROUNDING = {"float64": 16 * float(np.finfo(np.float64).eps), "float32": 4 * float(np.finfo(np.float32).eps)}
"""Of the RMS. In float64, what summing some hundreds of products in another order makes, sqrt(n) times the unit; in
float32, where a coarser precision inside a layer is to be seen, what storing the greatest of its values does."""


def measure_conditioning(
    model: nn.Module,
    arguments: Arguments,
    paths: Collection[str],
    errors: Mapping[str, float],
    dtype: str = "float64",
    *,
    seed: int = 0,
) -> dict[tuple[str, int, int], float]:
    """(path, call, output) -> greatest difference over the RMS between two passes of the float64 `model`.

    In one of them the output of every layer without layers inside is off by a random error, as large as one was in
    isolation: `errors`, path -> greatest difference over the RMS, at least the `dtype`'s ROUNDING. `paths` are the
    modules whose outputs are measured.
    """
    perturbed_model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for path, module in perturbed_model.named_modules():
        if not any(True for _ in module.children()):
            error = max(errors.get(path, 0.0), ROUNDING[dtype])
            module.register_forward_hook(lambda *call, error=error: _perturb(call[-1], error, generator))
    found = {}
    plain = Reference(model, arguments, paths)
    perturbed = Reference(perturbed_model, arguments, paths)
    try:
        for key, event in perturbed.remaining():
            other = plain.take(key)
            pairs = zip(event.tensors, other.tensors if other else (), strict=False)
            for output, (moved, exact) in enumerate(pairs):
                if exact.is_floating_point() and exact.numel():
                    size = float(exact.pow(2).mean().sqrt())
                    found[key.path, key.call, output] = float((moved - exact).abs().max()) / size if size else 0.0
    finally:
        perturbed.close()
        plain.close()
    return found


def _perturb(output: Any, error: float, generator: torch.Generator) -> Any:
    return refill(output, iter([_off(tensor, error, generator) for tensor in flatten(output)]))


def _off(tensor: Tensor, error: float, generator: torch.Generator) -> Tensor:
    if not tensor.is_floating_point() or not tensor.numel():
        return tensor
    noise = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype).to(tensor.device)
    return tensor + tensor.pow(2).mean().sqrt() * error * (2 * noise - 1)
