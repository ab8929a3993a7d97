"""Small references and their ports, right but for one thing that is asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.networks.modules import paddle_modules, torch_modules
from parity.pairing.match import give_weights
from parity.pairing.propose import pair_modules
from parity.verdicts.report import Guilty, Report

pnn, pf = paddle.nn, paddle.nn.functional
IMAGES = {
    "odd": np.random.default_rng(0).standard_normal((2, 4, 9, 7)),
    "even": np.random.default_rng(1).standard_normal((2, 4, 8, 12)),
}


def settle(model: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode, with random weights and statistics."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(drawn.square() + 0.5 if "var" in name else drawn)
    return model.eval()


def compare(reference: nn.Module, port: Any, images: Any = IMAGES, edit: Callable[[Any], None] | None = None) -> Report:
    """Of the settled reference and the port, given its weights and then edited."""
    settle(reference)
    pairing = pair_modules(torch_modules(reference), paddle_modules(port), None)
    give_weights(reference, port, pairing, {})
    if edit is not None:
        edit(port)
    return compare_models(reference, port, images, mode="isolated", dtypes=["float64"])


def only(report: Report) -> Guilty:
    """The one layer that is guilty."""
    (guilty,) = report.guilty
    return guilty


class TorchBlock(nn.Module):
    """A residual block by hand, with a concatenation and a pooled shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.out = nn.Conv2d(8, 4, 1)

    def forward(self, x: Any) -> Any:
        y = tf.leaky_relu(self.norm(self.conv(x)) + x, 0.1)
        z = torch.cat([y, tf.max_pool2d(x, 3, 1, 1)], 1)
        return self.out(z)


class PaddleBlock(pnn.Layer):
    """The same; `wrong` says which one thing is not."""

    def __init__(self, wrong: str = "") -> None:
        super().__init__()
        self.wrong = wrong
        self.conv, self.norm, self.out = pnn.Conv2D(4, 4, 3, padding=1), pnn.BatchNorm2D(4), pnn.Conv2D(8, 4, 1)

    def forward(self, x: Any) -> Any:
        wrong, conv = self.wrong, self.conv
        normed = conv(x) if wrong == "no norm" else self.norm(conv(x))
        if wrong == "residual missing":
            y = pf.leaky_relu(normed, 0.1)
        elif wrong == "activated first":
            y = pf.leaky_relu(normed, 0.1) + x
        elif wrong == "tripled":
            y = pf.leaky_relu(normed + 3.7 * x * x, 0.1)
        else:
            slope = 0.02 if wrong == "slope" else 0.1
            y = normed + x if wrong == "no activation" else pf.leaky_relu(normed + x, slope)
        pool = pf.avg_pool2d if wrong == "average" else pf.max_pool2d
        parts = [y, pool(x, 3, 1, 1)]
        return self.out(paddle.concat(parts[::-1] if wrong == "order" else parts, 1))


class TorchAttention(nn.Module):
    """Self-attention of the pixels, with its scale, a mask and a residual; between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 6, 1)
        self.query, self.key, self.value = (nn.Conv2d(6, 6, 1) for _ in range(3))
        self.gamma = nn.Parameter(torch.ones(1))
        self.last = nn.Conv2d(6, 2, 1)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        q, k, v = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        energy = q.transpose(1, 2) @ k / 6**0.5
        energy = energy + torch.full_like(energy[0], float("-inf")).triu(1)
        out = (v @ energy.softmax(-1).transpose(1, 2)).view(x.shape)
        return self.last(self.gamma * out + x)


class PaddleAttention(pnn.Layer):
    """The same; `wrong` says which one thing is not."""

    def __init__(self, wrong: str = "") -> None:
        super().__init__()
        self.wrong = wrong
        self.first = pnn.Conv2D(4, 6, 1)
        self.query, self.key, self.value = (pnn.Conv2D(6, 6, 1) for _ in range(3))
        self.gamma = self.create_parameter([1])
        self.last = pnn.Conv2D(6, 2, 1)

    def forward(self, x: Any) -> Any:
        wrong = self.wrong
        x = self.first(x)
        q, k, v = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        q, k = (k, q) if wrong == "swapped" else (q, k)
        energy = paddle.matmul(q.transpose([0, 2, 1]), k)
        energy = energy if wrong == "scale" else energy / 6**0.5
        lowest = -1e4 if wrong == "finite" else float("-inf")
        if wrong != "mask":
            energy = (
                energy + paddle.triu(paddle.full_like(energy[0], lowest), 1)
                if wrong == "finite"
                else (paddle.where(paddle.tril(paddle.ones_like(energy)) > 0, energy, paddle.full_like(energy, lowest)))
            )
        weights = pf.softmax(energy, 1 if wrong == "axis" else -1)
        out = paddle.matmul(v, weights if wrong == "turned" else weights.transpose([0, 2, 1])).reshape(x.shape)
        out = out if wrong == "gamma" else self.gamma * out
        return self.last(out if wrong == "residual" else out + x)


ATTENTION_IMAGES = {
    "odd": np.random.default_rng(2).standard_normal((2, 4, 3, 5)) * 0.3,
    "even": np.random.default_rng(3).standard_normal((2, 4, 4, 2)) * 0.3,
}
