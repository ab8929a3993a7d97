"""Strict loading of canonical weights."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
import torch
from torch import nn

from models_torch.ccnet import CCNet, construct_ccnet


def load_weights(model: nn.Module, tensors: MutableMapping[str, np.ndarray[Any, Any]]) -> None:
    """Fill every parameter and buffer of `model` from `tensors` (canonical names), emptying it on the way.

    Values are cast to the model's dtype. Raises ValueError, naming the tensors, unless names and shapes are exactly
    the model's (its batch counters aside), and numbers floats where they are the model's; nothing is loaded then.
    """
    targets = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    missing, unexpected = sorted(targets.keys() - tensors.keys()), sorted(tensors.keys() - targets.keys())
    if missing or unexpected:
        raise ValueError(f"missing {missing[:3]} ({len(missing)}), unexpected {unexpected[:3]} ({len(unexpected)})")
    for name, target in targets.items():
        if tuple(target.shape) != tensors[name].shape:
            raise ValueError(f"{name} is {tensors[name].shape}, the network needs {tuple(target.shape)}")
        if target.is_floating_point() and tensors[name].dtype.kind != "f":
            raise ValueError(
                f"{name} holds {tensors[name].dtype}, the network needs {str(target.dtype).removeprefix('torch.')}"
            )
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(torch.from_numpy(np.array(tensors.pop(name))))


def build_uninitialised(family: str, *, num_classes: int, recurrence: int, depth: int, auxiliary: bool = True) -> CCNet:
    """`build_ccnet` without the time of initial values: for a network to be loaded at once."""
    with torch.device("meta"):
        model = construct_ccnet(
            family, num_classes=num_classes, recurrence=recurrence, depth=depth, auxiliary=auxiliary
        )
    return model.to_empty(device="cpu")
