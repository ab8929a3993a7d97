"""Fresh parameters by the family's own scheme."""

from __future__ import annotations

import torch
from torch import nn

from recipe.initialisation import initial_fill


def initialise(model: nn.Module, family: str) -> None:
    """Fill every parameter as `family` begins with it, from torch's generator (`torch.manual_seed`)."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            weight = parameters.get(name.removesuffix("bias") + "weight", parameter)
            fill = initial_fill(family, name, tuple(parameter.shape), weight[0].numel())
            if fill.distribution == "uniform":
                parameter.uniform_(-fill.bound, fill.bound)
            elif fill.distribution == "normal":
                parameter.normal_(0.0, fill.value)
            else:
                parameter.fill_(fill.value)
