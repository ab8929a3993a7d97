"""A network with its preprocessing and the resize of its logits, in both frameworks, and mistakes in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from families import Preprocessing
from models_paddle import paddle
from parity.mutants.mutant import Array, Mutant, Port, mutant

MUTANTS: list[Mutant] = []

PREPROCESSING = Preprocessing(
    channel_order="BGR", mean=(103.53, 116.28, 123.675), deviation=(57.375, 57.12, 58.395), align_corners=True
)
"""ImageNet's statistics: with the deviation of one that CCNet has, stand-in weights would saturate."""

MEAN = np.reshape(PREPROCESSING.mean, [1, 3, 1, 1])
DEVIATION = np.reshape(PREPROCESSING.deviation, [1, 3, 1, 1])


def interpolation(source: int, target: int) -> Array:
    """(target, source) matrix of linear interpolation, corners aligned. Paddle's own rounds positions to float32."""
    position = np.arange(target) * (source - 1) / max(target - 1, 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(source)))


class TorchPreprocess(torch.nn.Module):
    """RGB pixels (N, 3, H, W), 0 to 255 -> BGR, normalised."""

    def forward(self, pixels: Tensor) -> Tensor:
        mean, deviation = (torch.tensor(array, dtype=pixels.dtype) for array in (MEAN, DEVIATION))
        return (pixels.flip(1) - mean) / deviation


class TorchResize(torch.nn.Module):
    """Logits (N, K, h, w) -> (N, K, *size), bilinear with aligned corners."""

    def forward(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        rows, columns = (
            torch.tensor(interpolation(source, target), dtype=logits.dtype)
            for source, target in zip(logits.shape[2:], size, strict=True)
        )
        return rows @ logits @ columns.T


class TorchPipeline(torch.nn.Module):
    """Pixels (N, 3, H, W) -> both heads' logits, (N, K, H, W)."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.preprocess, self.network, self.resize = TorchPreprocess(), network, TorchResize()

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        size = (pixels.shape[2], pixels.shape[3])
        return tuple(self.resize(logits, size) for logits in self.network(self.preprocess(pixels)))


class PaddlePreprocess(paddle.nn.Layer):
    """RGB pixels (N, 3, H, W), 0 to 255 -> BGR, normalised."""

    def forward(self, pixels: Any) -> Any:
        mean, deviation = (paddle.to_tensor(array, dtype=pixels.dtype) for array in (MEAN, DEVIATION))
        return (pixels.flip(1) - mean) / deviation


class PaddleResize(paddle.nn.Layer):
    """Logits (N, K, h, w) -> (N, K, *size), bilinear with aligned corners."""

    def forward(self, logits: Any, size: tuple[int, int]) -> Any:
        rows, columns = (
            paddle.to_tensor(interpolation(source, target), dtype=logits.dtype)
            for source, target in zip(logits.shape[2:], size, strict=True)
        )
        return rows @ logits @ columns.t()


class PaddlePipeline(paddle.nn.Layer):
    """Pixels (N, 3, H, W) -> both heads' logits, (N, K, H, W)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.preprocess, self.network, self.resize = PaddlePreprocess(), network, PaddleResize()

    def forward(self, pixels: Any) -> tuple[Any, ...]:
        size = (pixels.shape[2], pixels.shape[3])
        return tuple(self.resize(logits, size) for logits in self.network(self.preprocess(pixels)))


@mutant(MUTANTS, "preprocess", pipeline=True, cause="not reversed")
def rgb_for_bgr(port: Port) -> None:
    """The channels are left in the order of the file."""
    port["preprocess"].forward = lambda pixels: (pixels - _like(pixels, MEAN)) / _like(pixels, DEVIATION)


@mutant(MUTANTS, "preprocess", pipeline=True, cause="constants reversed")
def mean_in_wrong_order(port: Port) -> None:
    """BGR pixels, but the mean of RGB ones."""
    port["preprocess"].forward = lambda pixels: (
        (pixels.flip(1) - _like(pixels, MEAN[:, ::-1].copy())) / _like(pixels, DEVIATION)
    )


@mutant(MUTANTS, "preprocess", pipeline=True, cause="term missing")
def mean_not_subtracted(port: Port) -> None:
    """Pixels are only scaled."""
    port["preprocess"].forward = lambda pixels: pixels.flip(1) / _like(pixels, DEVIATION)


@mutant(MUTANTS, "preprocess", pipeline=True, cause="factor missing")
def deviation_forgotten(port: Port) -> None:
    """The mean is subtracted, the scale forgotten."""
    port["preprocess"].forward = lambda pixels: pixels.flip(1) - _like(pixels, MEAN)


@mutant(MUTANTS, "preprocess", pipeline=True, cause="input changed")
def pixels_scaled_to_one(port: Port) -> None:
    """Pixels are divided by 255 before a mean that is meant for 0 to 255."""
    forward = port["preprocess"].forward
    port["preprocess"].forward = lambda pixels: forward(pixels / 255)


@mutant(MUTANTS, "", pipeline=True, cause="mirrored left to right")
def picture_mirrored(port: Port) -> None:
    """The flip of a training augmentation is left in."""
    forward = port.network.forward
    port.network.forward = lambda pixels: forward(pixels.flip(3))


@mutant(MUTANTS, "resize", pipeline=True, cause="way of resizing")
def corners_not_aligned(port: Port) -> None:
    """`align_corners=False`, the default of both frameworks."""
    port["resize"].forward = lambda logits, size: paddle.nn.functional.interpolate(logits, size, mode="bilinear")


@mutant(MUTANTS, "resize", pipeline=True, cause="way of resizing")
def nearest_neighbour(port: Port) -> None:
    """Logits are resized without interpolation."""
    port["resize"].forward = lambda logits, size: paddle.nn.functional.interpolate(logits, size, mode="nearest")


@mutant(MUTANTS, "resize", pipeline=True, cause="size reversed")
def size_as_width_and_height(port: Port) -> None:
    """The size is read as (W, H), the order of Pillow and OpenCV."""
    forward = port["resize"].forward
    port["resize"].forward = lambda logits, size: forward(logits, size[::-1])


@mutant(MUTANTS, "", pipeline=True, cause="another layer's output")
def auxiliary_not_resized(port: Port) -> None:
    """Only the main logits are brought to the picture's size."""
    pipeline = port.network

    def forward(pixels: Any) -> tuple[Any, Any]:
        logits, auxiliary = pipeline.network(pipeline.preprocess(pixels))
        return pipeline.resize(logits, (pixels.shape[2], pixels.shape[3])), auxiliary

    pipeline.forward = forward


def _like(pixels: Any, array: Array) -> Any:
    return paddle.to_tensor(array, dtype=pixels.dtype)
