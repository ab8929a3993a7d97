"""From a prepared picture to scores per class and pixel: whole or by windows, over scales and flips.

Two faults of the official `pure-python` branch are not repeated: its results of other scales are never brought back to
the picture's size, and its flip reverses the rows of an (N, H, W, C) array, where columns were meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cityscapes.networks import Network
from cityscapes.protocols import Protocol
from cityscapes.windows import coverage, stride_of, window_starts

Size = tuple[int, int]


@dataclass(frozen=True)
class Views:
    """What is averaged over: scales of the picture, and each scale's mirror image if `flip`."""

    scales: Sequence[float] = (1.0,)
    flip: bool = False

    @property
    def count(self) -> int:
        """Passes over the picture."""
        return len(self.scales) * (1 + self.flip)

    @property
    def plain(self) -> bool:
        """Whether the picture is seen once, as it is."""
        return self.count == 1 and self.scales[0] == 1


def predict(network: Network, image: Tensor, protocol: Protocol, views: Views | None = None) -> Tensor:
    """Scores (1, K, H, W) of a prepared picture (1, 3, H, W): logits or, if the protocol says so, probabilities."""
    views = views or Views()
    size = _size(image)
    total: Tensor | None = None
    for scale in views.scales:
        scaled = resize(image, _scale(size, scale), align_corners=protocol.picture_align_corners)
        for flipped in (False, True)[: 1 + views.flip]:
            logits = _predict_view(network, scaled.flip(-1) if flipped else scaled, protocol, size)
            scores = logits.flip(-1) if flipped else logits
            if protocol.averages == "probabilities" and views.count > 1:
                scores = scores.softmax(1)
            total = scores if total is None else total.add_(scores)
    assert total is not None
    return total if views.count == 1 else total.div_(views.count)


def resize(images: Tensor, size: Size, *, align_corners: bool) -> Tensor:
    """Bilinear, (N, C, h, w) -> (N, C, *size)."""
    if _size(images) == size:
        return images
    return functional.interpolate(images, size, mode="bilinear", align_corners=align_corners)


def choose_classes(scores: Tensor) -> tuple[Tensor, bool]:
    """(K, H, W) -> the class of each pixel (H, W) uint8, and whether every greatest score is finite."""
    greatest = scores.max(0)
    return greatest.indices.to(torch.uint8).cpu(), bool(greatest.values.isfinite().all())


def _predict_view(network: Network, image: Tensor, protocol: Protocol, size: Size) -> Tensor:
    """Logits (1, K, *size) of one view of a picture that is `size` at scale 1. A new tensor."""
    align_corners = protocol.preprocessing.align_corners
    if protocol.window is None:
        logits = network(image)
        if not protocol.resizes_directly:
            logits = resize(logits, _size(image), align_corners=align_corners)
    else:
        logits = _slide(network, image, protocol, protocol.window)
    return resize(logits, size, align_corners=align_corners)


def _slide(network: Network, image: Tensor, protocol: Protocol, window: int) -> Tensor:
    """Logits (1, K, H, W), averaged where windows overlap."""
    height, width = _size(image)
    stride = stride_of(window, protocol.overlap)
    tops, lefts = (window_starts(side, window, stride) for side in (height, width))
    total: Tensor | None = None
    for top in tops:
        for left in lefts:
            tile = image[..., top : top + window, left : left + window]
            logits = _predict_tile(network, tile, protocol, window)
            if total is None:
                total = logits.new_zeros((1, logits.shape[1], height, width))
            total[..., top : top + window, left : left + window] += logits
    assert total is not None
    rows, columns = (
        total.new_tensor(coverage(side, window, starts)) for side, starts in ((height, tops), (width, lefts))
    )
    return total.div_(rows[:, None] * columns)


def _predict_tile(network: Network, tile: Tensor, protocol: Protocol, window: int) -> Tensor:
    height, width = _size(tile)
    if protocol.pads_tiles:
        tile = functional.pad(tile, (0, window - width, 0, window - height))
    logits = resize(network(tile), _size(tile), align_corners=protocol.preprocessing.align_corners)
    return logits[..., :height, :width]


def _scale(size: Size, scale: float) -> Size:
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def _size(images: Tensor) -> Size:
    return images.shape[-2], images.shape[-1]
