"""Either framework's network, seen alike: pictures in, logits out, as torch tensors.

Everything after the network (resizing, averaging, choosing the class) is then one code for both frameworks, and a pixel
that differs owes it to the networks. In float64 it is also exact, which Paddle's own resize is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from twins.tensors import paddle_to_torch


class Network(Protocol):
    """Pictures (1, 3, H, W) of any dtype -> logits (1, K, h, w) in the network's."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


class TorchNetwork:
    """A torch twin, in evaluation mode."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()

    def __call__(self, images: Tensor) -> Tensor:
        """Runs on the model's device and in its dtype."""
        parameter = next(self.model.parameters())
        with torch.no_grad():
            logits: Tensor = self.model(images.to(parameter.device, parameter.dtype))[0]
        return logits


class PaddleNetwork:
    """A Paddle twin, in evaluation mode."""

    def __init__(self, model: Any) -> None:
        self.model = model
        model.eval()

    def __call__(self, images: Tensor) -> Tensor:
        """Runs on Paddle's device and in the model's dtype; the logits share its memory where torch can reach it."""
        from models_paddle import paddle

        with paddle.no_grad():
            return to_torch(self.model(to_paddle(images, self.model))[0])


def to_paddle(images: Tensor, model: Any) -> Any:
    """`images` as a Paddle tensor of the dtype of `model`'s parameters."""
    from models_paddle import paddle

    dtypes = [str(parameter.dtype).rpartition(".")[2] for parameter in model.parameters()]
    return paddle.to_tensor(images.to(getattr(torch, dtypes[0] if dtypes else "float32")).numpy())


def to_torch(logits: Any) -> Tensor:
    """A Paddle tensor's values, in its memory where torch can reach it."""
    return paddle_to_torch(logits if torch.cuda.is_available() else logits.cpu())


NETWORKS: dict[str, Callable[[Any], Network]] = {"torch": TorchNetwork, "paddle": PaddleNetwork}
