"""How each family evaluates: everything between decoded pixels and the class of each pixel, as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from cityscapes.errors import DatasetError
from families import Preprocessing, get_family
from recipe.preprocessing import preprocess

Array = np.ndarray[Any, Any]

OVERLAP = Fraction(1, 3)
WINDOW = 769


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One evaluation procedure. Sizes are (height, width) in pixels."""

    name: str
    preprocessing: Preprocessing
    """Channel order, mean, scale, and align_corners of the resize of logits."""
    padded_size: tuple[int, int] | None
    """Smaller pictures are extended to this, right and below, by zeros after preprocessing."""
    window: int | None
    """Side of the sliding window; None for the whole picture at once."""
    overlap: Fraction = OVERLAP
    """Of neighbouring windows, as a share of the window."""
    pads_tiles: bool
    """A picture smaller than the window is extended to it by zeros."""
    averages: Literal["logits", "probabilities"]
    """What is averaged over scales and flips. Where windows overlap, logits are."""
    picture_align_corners: bool
    """Of the bilinear resize that makes a picture of another scale."""
    resizes_directly: bool
    """Logits of a scaled whole picture go to the unscaled size at once, not by way of the scaled size."""


OFFICIAL = Protocol(  # speedinghzl/CCNet, evaluate.py and dataset/datasets.py
    name="official",
    preprocessing=get_family("official").preprocessing,
    padded_size=(1024, 2048),
    window=WINDOW,
    pads_tiles=True,
    averages="logits",
    picture_align_corners=True,
    resizes_directly=True,
)
PADDLESEG = Protocol(  # PaddleSeg, core/infer.py and configs/ccnet; its padding value 127.5 is 0 after preprocessing
    name="paddleseg",
    preprocessing=get_family("paddleseg").preprocessing,
    padded_size=(1025, 2049),
    window=None,
    pads_tiles=False,
    averages="logits",
    picture_align_corners=False,
    resizes_directly=False,
)
MMSEG = Protocol(  # mmsegmentation, models/segmentors/encoder_decoder.py and seg_tta.py
    name="mmseg",
    preprocessing=get_family("mmseg").preprocessing,
    padded_size=None,
    window=None,
    pads_tiles=False,
    averages="probabilities",
    picture_align_corners=False,
    resizes_directly=False,
)
PROTOCOLS = {protocol.name: protocol for protocol in (OFFICIAL, PADDLESEG, MMSEG)}
FAMILY_PROTOCOLS = {"official": OFFICIAL, "pure_pytorch": OFFICIAL, "paddleseg": PADDLESEG, "mmseg": MMSEG}


def protocol_for(family: str, *, name: str | None = None, file_name: str = "") -> Protocol:
    """The protocol called `name`, or the family's own.

    mmsegmentation's differs between its files, by their names: what was trained on 769 × 769 is evaluated
    with such a window and align_corners. Raises DatasetError if there is none.
    """
    if name is None and family not in FAMILY_PROTOCOLS:
        raise DatasetError(f"family {family} has no segmentation head and cannot be evaluated")
    protocol = FAMILY_PROTOCOLS[family] if name is None else PROTOCOLS[name]
    preprocessing = get_family(protocol.name).preprocessing_for(file_name)
    window = WINDOW if protocol is MMSEG and preprocessing.align_corners else protocol.window
    return replace(protocol, preprocessing=preprocessing, window=window)


def is_padded(size: tuple[int, int], protocol: Protocol) -> bool:
    """Whether a picture of this (height, width) is extended."""
    full = protocol.padded_size
    return full is not None and (size[0] < full[0] or size[1] < full[1])


def prepare(pixels: Array, protocol: Protocol) -> Array:
    """RGB pixels (H, W, 3) uint8 -> network input (1, 3, H', W') float64, preprocessed and padded."""
    return pad(preprocess(pixels, protocol.preprocessing)[None], protocol)


def pad(images: Array, protocol: Protocol) -> Array:
    """Preprocessed images (N, 3, H, W), extended to the protocol's size where they are smaller."""
    if protocol.padded_size is None:
        return images
    missing = [max(full - side, 0) for full, side in zip(protocol.padded_size, images.shape[2:], strict=True)]
    return np.pad(images, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])))
