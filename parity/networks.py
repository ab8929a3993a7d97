"""The two frameworks' networks behind one interface: NumPy in, NumPy out, evaluation mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter import to_paddle
from parity.errors import ParityInputError
from parity.weights import WeightPair

Array = np.ndarray[Any, Any]


class TorchNetwork:
    """The torch twin with the source's weights."""

    def __init__(self, weights: WeightPair, *, recurrence: int, device: str) -> None:
        import torch

        from models_torch import build_uninitialised, load_weights

        if device == "gpu" and not torch.cuda.is_available():
            raise ParityInputError("--device gpu: torch sees no GPU; install a CUDA build of torch or use --device cpu")
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        plan = weights.plan
        self.model = build_uninitialised(
            plan.family.name, num_classes=plan.num_classes, recurrence=recurrence, depth=plan.depth
        )
        load_weights(self.model, dict(weights.torch))
        self.model.eval().to(self.device)

    def cast(self, dtype: str) -> None:
        """Cast parameters and buffers to "float32" or "float64"."""
        import torch

        self.model.to(getattr(torch, dtype))

    def run(self, images: Array) -> tuple[Array, ...]:
        """Images (N, 3, H, W) in the network's dtype -> its outputs."""
        import torch

        with torch.no_grad():
            return tuple(output.cpu().numpy() for output in self.model(torch.from_numpy(images).to(self.device)))


class PaddleNetwork:
    """The Paddle twin with the target's weights."""

    def __init__(self, weights: WeightPair, *, recurrence: int, device: str) -> None:
        from models_paddle import build_uninitialised, load_weights, paddle

        if device == "gpu" and not paddle.device.is_compiled_with_cuda():
            raise ParityInputError("--device gpu: this is Paddle's CPU build; install paddlepaddle-gpu")
        paddle.set_device(device)
        plan = weights.plan
        self.model = build_uninitialised(
            plan.family.name, num_classes=plan.num_classes, recurrence=recurrence, depth=plan.depth
        )
        load_weights(self.model, {to_paddle(name): array for name, array in weights.paddle.items()})
        self.model.eval()

    def cast(self, dtype: str) -> None:
        """Cast parameters and buffers to "float32" or "float64"."""
        self.model.to(dtype=dtype)

    def run(self, images: Array) -> tuple[Array, ...]:
        """Images (N, 3, H, W) in the network's dtype -> its outputs."""
        from models_paddle import paddle

        with paddle.no_grad():
            return tuple(output.numpy() for output in self.model(paddle.to_tensor(images)))
