"""From pixels to logits as each side evaluates: padding, windows, views and resizes, around one stand-in network.

The real networks are compared elsewhere; here a cheap one takes their place on both sides, whose logits depend on
pixels, on their neighbours and on everything that it is shown at once. A picture of Cityscapes' size takes a second.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cityscapes.predict import Size, predict
from cityscapes.protocols import Protocol, pad, prepare, protocol_for
from cityscapes.windows import stride_of
from parity.certify.gate import Check
from parity.certify.limits import INFERENCE, INFERENCE_REASON
from parity.certify.parts.evaluation import Evaluation
from parity.certify.parts.loaders import FULL_SIZE
from parity.certify.subject import Subject
from parity.networks.user import describe
from recipe.interpolation import interpolation_matrix

Array = np.ndarray[Any, Any]

STRIDE = 8
"""Of the stand-in network, as of CCNet."""


def compare_inference(subject: Subject) -> list[Check]:
    """The port's own inference against the family's protocol; of windows, where the port slides them."""
    own = subject.port_kit["metric"].run
    if not isinstance(own, Evaluation) or subject.reference_kit["metric"].run is not None:
        return []
    protocol = protocol_for(subject.family)
    if not own.slides:
        protocol = replace(protocol, window=None)
    pixels = np.random.default_rng(subject.seed).integers(0, 256, (*(side // 8 for side in FULL_SIZE), 3), np.uint8)
    pixels = pixels.repeat(8, 0).repeat(8, 1)
    corners = subject.forms[1].align_corners
    try:
        shown = own.show(pixels)
        actual = own.infer(lambda images: _stand_in(images, corners), pixels)
    except Exception as error:  # noqa: BLE001 - what PaddleSeg raises for its settings is a finding
        return [_check(own, protocol, math.inf, f"the port's raises {describe(error)}")]
    # Other values of pixels are for the gate "validation data".
    images = prepare(pixels, protocol) if shown is None else pad(shown[None].astype(np.float64), protocol)
    found = predict(
        lambda tensor: torch.from_numpy(_stand_in(tensor.numpy())), torch.from_numpy(images), protocol, own.views
    )
    expected = found[0, :, : pixels.shape[0], : pixels.shape[1]].numpy()
    if actual.shape != expected.shape:
        return [_check(own, protocol, math.inf, f"logits {actual.shape}, the reference's {expected.shape}")]
    others = float((actual.argmax(0) != expected.argmax(0)).mean())
    distance = float(np.abs(actual - expected).max() / np.abs(expected).max())
    return [_check(own, protocol, distance, f"{others:.2%} of pixels change class")]


def _stand_in(images: Array, corners: bool | None = None) -> Array:
    """Images (1, C, H, W) -> logits (1, C, h, w), an eighth; with `corners`, resized to the images."""
    seen = images[:, :, ::STRIDE, ::STRIDE]
    logits = seen + 0.5 * np.roll(seen, 1, (2, 3)) + 3.0 * images.mean((2, 3), keepdims=True)
    return logits if corners is None else _resize(logits, (images.shape[2], images.shape[3]), corners)


def _resize(logits: Array, size: Size, corners: bool) -> Array:
    rows, columns = (
        interpolation_matrix(source, target, align_corners=corners)
        for source, target in zip(logits.shape[2:], size, strict=True)
    )
    return np.asarray(rows @ logits @ columns.T)


def _check(own: Evaluation, protocol: Protocol, measured: float, detail: str) -> Check:
    said = ", ".join(f"{name} {value}" for name, value in own.settings.items()) or "whole pictures"
    stride = protocol.window and stride_of(protocol.window, protocol.overlap)
    expected = f"windows of {protocol.window}, stride {stride}" if protocol.window else "whole pictures"
    return Check(
        name="sliding windows" if own.slides else "evaluation of whole pictures",
        measured=measured,
        limit=INFERENCE,
        reason=INFERENCE_REASON,
        detail=f"{detail}; the port's test_config: {said}; the reference's: {expected}",
    )
