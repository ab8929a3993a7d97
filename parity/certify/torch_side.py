"""The reference under training, in torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from parity.certify.parts.trainer import make_torch
from parity.certify.sides import Array, Side
from parity.engine.hooks import hook_inputs


class TorchSide(Side):
    """The reference."""

    framework, name = "torch", "reference"

    def _packages(self) -> tuple[Any, Any, Callable[..., Any]]:
        import models_torch.data
        import models_torch.losses
        import models_torch.trainer

        return models_torch.losses, models_torch.trainer, models_torch.data.make_loader

    def _given(self, optimiser: Callable[..., Any] | None, schedule: Callable[..., Any] | None) -> tuple[Any, Any]:
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return make_torch(self.model, parameters, optimiser=optimiser, schedule=schedule)

    def initialise(self, family: str) -> None:
        from models_torch.initialise import initialise

        initialise(self.model, family)

    def tensor(self, array: Array) -> Any:
        tensor = torch.from_numpy(np.array(array)).to(next(self.model.parameters()).device)
        return tensor.to(getattr(torch, self.dtype)) if tensor.is_floating_point() else tensor

    def is_trainable(self, tensor: Any) -> bool:
        return bool(tensor.requires_grad)

    def without_gradients(self) -> AbstractContextManager[Any]:
        return torch.no_grad()

    def require_gradient(self, tensor: Any) -> None:
        tensor.requires_grad_()

    def observe(self, path: str, before: Callable[[Any, Any], None], after: Callable[[Any], None]) -> list[Any]:
        module = self.modules[path].module
        return [
            hook_inputs(module, lambda call: before(*call)),
            module.register_forward_hook(lambda module, inputs, output: after(output)),
        ]

    def has_history(self, tensor: Any) -> bool:
        return bool(tensor.requires_grad) and not tensor.is_leaf

    def retain(self, tensor: Any) -> None:
        tensor.retain_grad()

    def differentiate(self, outputs: list[Any], inputs: list[Any], upstream: list[Any]) -> list[Any]:
        return list(torch.autograd.grad(outputs, inputs, upstream, allow_unused=True))

    def send_back(self, outputs: list[Any], upstream: list[Any]) -> None:
        torch.autograd.backward(outputs, upstream)

    def confusion(self, logits: Array, labels: Array) -> Array:
        scores, target = torch.from_numpy(logits), torch.from_numpy(labels.astype(np.int64))
        valid, classes = target != 255, len(logits)
        pairs = target[valid] * classes + scores.argmax(0)[valid]
        return np.asarray(torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).numpy())
