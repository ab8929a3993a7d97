"""Where one pixel looks: the attention that each framework really applies, after one pass and after two.

The weights are the derivative of the attention's output at one pixel by its values at all others, so they
show what the module does, not what its formula says: a missing mask, swapped axes or a frozen gamma is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from parity.engine.surroundings import evaluating
from twins.lazy import Tensor, nn, torch

Array = np.ndarray[Any, Any]
PASSES = 2


@dataclass(frozen=True)
class AttentionMap:
    """How much each pixel's value adds to the chosen one after `recurrence` passes, times gamma: (H, W) each."""

    recurrence: int
    torch: Array
    paddle: Array

    @property
    def difference(self) -> Array | None:
        """Absolute, (H, W); None if the frameworks' features differ in size."""
        return np.abs(self.torch - self.paddle) if self.torch.shape == self.paddle.shape else None


@dataclass(frozen=True)
class AttentionMaps:
    """The maps of the pixel (row, column) of the attention's features, one per number of passes."""

    pixel: tuple[int, int]
    maps: tuple[AttentionMap, ...]


def compute_attention_maps(
    torch_model: nn.Module, paddle_model: Any, images: Array, *, pixel: tuple[int, int] | None = None
) -> AttentionMaps:
    """The maps of both twins for the first of `images` (N, 3, H, W), whatever recurrence they were built with.

    `pixel` is (row, column) at the resolution of the attention, by default off the centre, so that swapped
    axes show. Both models are left as they were.
    """
    with evaluating(torch_model), evaluating(paddle_model):
        sides: tuple[_Side, _Side] = _TorchSide(torch_model), _PaddleSide(paddle_model)
        entered = [_features(side, images[:1]) for side in sides]
        height, width = np.min([features[0].shape[2:] for features in entered], axis=0)
        chosen = (int(height) // 3, int(width) // 3) if pixel is None else pixel
        maps = [
            AttentionMap(
                recurrence,
                *(_look(side, features[:recurrence], chosen) for side, features in zip(sides, entered, strict=True)),
            )
            for recurrence in range(1, PASSES + 1)
        ]
    return AttentionMaps(chosen, tuple(maps))


class _Side(Protocol):
    """One framework's twin; features are its own tensors (1, C, H, W)."""

    def reduce(self, images: Array) -> Any:
        """The features that enter the attention."""

    def attend(self, features: Any) -> Any:
        """One pass."""

    def spread(self, features: Any, weights: Array) -> Array:
        """Derivative of the pass's output, weighted by `weights` (H, W), by the values: (H, W)."""


def _features(side: _Side, images: Array) -> list[Any]:
    """What enters each pass."""
    features = [side.reduce(images)]
    while len(features) < PASSES:
        features.append(side.attend(features[-1]))
    return features


def _look(side: _Side, entered: list[Any], pixel: tuple[int, int]) -> Array:
    """Weights of all pixels in `pixel` after as many passes as features `entered`: the last pass first."""
    weights = np.zeros(entered[0].shape[2:], dtype=np.float32)
    weights[pixel] = 1.0
    for features in reversed(entered):
        weights = side.spread(features, weights)
    return weights


class _TorchSide:
    def __init__(self, model: nn.Module) -> None:
        self._model, self._head = model, cast(Any, model.head)

    def reduce(self, images: Array) -> Tensor:
        like = next(self._model.parameters())
        found: list[Tensor] = []
        handle = self._head.reduce.register_forward_hook(lambda module, args, output: found.append(output))
        try:
            with torch.no_grad():
                self._model(torch.from_numpy(images).to(like))
        finally:
            handle.remove()
        return found[0]

    def attend(self, features: Tensor) -> Tensor:
        with torch.no_grad():
            return self._head.attention(features)

    def spread(self, features: Tensor, weights: Array) -> Array:
        values: list[Tensor] = []
        attention = self._head.attention
        handle = attention.value.register_forward_hook(lambda module, args, output: values.append(output))
        try:
            output = attention(features.detach().requires_grad_())
        finally:
            handle.remove()
        (gradient,) = torch.autograd.grad(output[0, 0], values[0], torch.from_numpy(weights).to(features))
        return gradient[0, 0].cpu().numpy()


class _PaddleSide:
    def __init__(self, model: Any) -> None:
        self._model, self._head = model, model.head

    def reduce(self, images: Array) -> Any:
        from models_paddle import paddle

        like = self._model.parameters()[0]
        found: list[Any] = []
        handle = self._head.reduce.register_forward_post_hook(lambda layer, args, output: found.append(output))
        try:
            with paddle.no_grad():
                self._model(paddle.to_tensor(images).astype(like.dtype))
        finally:
            handle.remove()
        return found[0]

    def attend(self, features: Any) -> Any:
        from models_paddle import paddle

        with paddle.no_grad():
            return self._head.attention(features)

    def spread(self, features: Any, weights: Array) -> Array:
        from models_paddle import paddle

        values: list[Any] = []
        attention = self._head.attention
        handle = attention.value.register_forward_post_hook(lambda layer, args, output: values.append(output))
        entered = features.detach()
        entered.stop_gradient = False
        try:
            output = attention(entered)
        finally:
            handle.remove()
        (gradient,) = paddle.grad([output[0, 0]], values, [paddle.to_tensor(weights).astype(features.dtype)])
        return gradient[0, 0].numpy()
