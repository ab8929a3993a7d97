"""A user's own port as `ccnet-eval` sees a network: logits at an eighth of the picture's size or at the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from cityscapes.labels import NUM_CLASSES
from cityscapes.networks import to_paddle, to_torch
from cityscapes.weights import Port
from parity.errors import ParityInputError
from parity.networks.port import load_port, load_port_weights
from parity.networks.user import users_code
from twins.build import set_paddle_device


class PortNetwork:
    """A port in evaluation mode. Its first output counts, as PaddleSeg and the official network have it."""

    def __init__(self, spec: str, layer: Any) -> None:
        self.spec, self.layer = spec, layer
        layer.eval()

    def __call__(self, images: Tensor) -> Tensor:
        """Pictures (1, 3, H, W) -> logits (1, K, h, w). Raises ParityInputError for what is none."""
        from models_paddle import paddle

        with users_code({"--port": self.spec}, "run it"), paddle.no_grad():
            outputs = self.layer(to_paddle(images, self.layer))
        logits = outputs[0] if isinstance(outputs, list | tuple) and outputs else outputs
        shape = tuple(logits.shape) if isinstance(logits, paddle.Tensor) else type(logits).__name__
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[:2] != (1, NUM_CLASSES):
            raise ParityInputError(
                f"--port {self.spec}: gives {shape} for a picture; needed are logits (1, {NUM_CLASSES}, h, w), alone "
                "or first in a list"
            )
        return to_torch(logits)


def load_network(spec: str, weights: Path, *, device: str) -> Port:
    """Build the port on "cpu" or "gpu" and give it its weights. Raises ParityInputError or InputError."""
    set_paddle_device(device)
    layer = load_port(spec)
    load_port_weights(layer, weights)
    return Port(name=spec, weights=weights, network=PortNetwork(spec, layer))
