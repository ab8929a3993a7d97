"""Strict loading of canonical weights, which Paddle's own `set_state_dict` does not do."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
import paddle
from paddle import nn

from models_paddle.ccnet import CCNet, construct_ccnet


def load_weights(model: nn.Layer, tensors: MutableMapping[str, np.ndarray[Any, Any]]) -> None:
    """Fill every parameter and buffer of `model` from `tensors` (Paddle names), emptying it on the way.

    Values are cast to the model's dtype. Raises ValueError, naming the tensors, unless names and shapes
    are exactly the model's, and numbers floats where they are the model's; nothing is loaded then.
    """
    targets = model.state_dict()
    missing, unexpected = sorted(targets.keys() - tensors.keys()), sorted(tensors.keys() - targets.keys())
    if missing or unexpected:
        raise ValueError(f"missing {missing[:3]} ({len(missing)}), unexpected {unexpected[:3]} ({len(unexpected)})")
    for name, target in targets.items():
        if tuple(target.shape) != tensors[name].shape:
            raise ValueError(f"{name} is {tensors[name].shape}, the network needs {tuple(target.shape)}")
        if "float" in _numpy_dtype(target) and tensors[name].dtype.kind != "f":
            raise ValueError(f"{name} holds {tensors[name].dtype}, the network needs {_numpy_dtype(target)}")
    for name, target in targets.items():
        target.set_value(tensors.pop(name).astype(_numpy_dtype(target), copy=False))


def build_uninitialised(family: str, *, num_classes: int, recurrence: int, depth: int, auxiliary: bool = True) -> CCNet:
    """`build_ccnet` without the time and memory of initial values: for a network to be loaded at once."""
    with paddle.LazyGuard():
        return construct_ccnet(family, num_classes=num_classes, recurrence=recurrence, depth=depth, auxiliary=auxiliary)


def _numpy_dtype(tensor: paddle.Tensor) -> str:
    return str(tensor.dtype).rpartition(".")[2]
