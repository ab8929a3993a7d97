"""The twins, loaded and on their device."""

from __future__ import annotations

from typing import Any

from converter import to_paddle
from converter.errors import InputError
from twins.lazy import nn
from twins.weights import WeightPair


def build_torch(weights: WeightPair, *, recurrence: int, device: str) -> nn.Module:
    """The torch twin with the source's weights, on "cpu" or "gpu". Raises InputError if there is none."""
    from models_torch import build_uninitialised, load_weights

    target = torch_device(device)
    model = build_uninitialised(**weights.size, recurrence=recurrence)
    load_weights(model, dict(weights.torch))
    return model.to(target)


def torch_device(device: str) -> str:
    """What torch calls "cpu" or "gpu". Raises InputError if it sees none."""
    import torch

    if device == "gpu" and not torch.cuda.is_available():
        raise InputError("--device gpu: torch sees no GPU; install a CUDA build of torch or use --device cpu")
    return "cuda" if device == "gpu" else "cpu"


def build_paddle(weights: WeightPair, *, recurrence: int) -> Any:
    """The Paddle twin with the target's weights, on the device that `set_paddle_device` chose."""
    from models_paddle import build_uninitialised, load_weights

    model = build_uninitialised(**weights.size, recurrence=recurrence)
    load_weights(model, {to_paddle(name): array for name, array in weights.paddle.items()})
    return model


def set_paddle_device(device: str) -> None:
    """Make "cpu" or "gpu" Paddle's device. Raises InputError if this build has none."""
    from models_paddle import paddle

    if device == "gpu" and not paddle.device.is_compiled_with_cuda():
        raise InputError("--device gpu: this is Paddle's CPU build; install paddlepaddle-gpu")
    paddle.set_device(device)
