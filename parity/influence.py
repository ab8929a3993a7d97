"""Which parameters the outputs depend on: a mistake in any other cannot be seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parity.tensors import flatten

NEGLIGIBLE = 1e-12
"""Of the network's greatest influence. Rounding leaves a gradient of about 1e-16 where it is zero by analysis."""

LARGEST_SIDE = 97
"""Pixels. The gradient needs the whole pass in memory; a corner of a large image shows the same."""


def find_uninfluential(model: nn.Module, images: Tensor) -> tuple[list[str], set[str]]:
    """Names of the parameters that the outputs of `model` (eval mode, best in float64) do not depend on.

    Also the paths of the modules that the pass called.

    Influence is |gradient| x |parameter| at its greatest element (|gradient| alone for a parameter that is
    zero), for a fixed random weighting of the outputs.
    """
    corner = images[..., :LARGEST_SIDE, :LARGEST_SIDE] if images.ndim == 4 else images
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    called: set[str] = set()
    handles = [
        module.register_forward_hook(lambda *_, path=path: called.add(path)) for path, module in model.named_modules()
    ]
    with torch.enable_grad():
        try:
            outputs = [output for output in flatten(model(corner)) if output.requires_grad]
        finally:
            for handle in handles:
                handle.remove()
        generator = torch.Generator().manual_seed(0)
        score = sum(
            ((torch.randn(output.shape, generator=generator, dtype=output.dtype).to(output.device)) * output).sum()
            for output in outputs
        )
        wanted = [parameter for parameter in parameters.values() if parameter.requires_grad]
        gradients = torch.autograd.grad(score, wanted, allow_unused=True) if outputs else [None] * len(wanted)
    found = dict(zip(map(id, wanted), gradients, strict=True))
    influence = {name: _influence(parameter, found.get(id(parameter))) for name, parameter in parameters.items()}
    greatest = max(influence.values(), default=0.0)
    return [name for name, value in influence.items() if value <= NEGLIGIBLE * greatest], called


def _influence(parameter: Tensor, gradient: Tensor | None) -> float:
    if gradient is None:
        return 0.0
    magnitude = parameter.detach().abs()
    weight = torch.where(magnitude == 0, torch.ones_like(magnitude), magnitude)
    return float((gradient.abs() * weight).max())
