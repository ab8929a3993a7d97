"""Maps as pictures inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from parity.reports.html.attention_maps import AttentionMaps
from parity.reports.html.probes import figure

Array = np.ndarray[Any, Any]

VIRIDIS = ("440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")
"""Ten samples of matplotlib's default map: even to the eye, also in grey and to the colour-blind."""


@dataclass(frozen=True)
class Picture:
    """One map: a PNG as a data URI, its size, and what its brightest colour stands for."""

    title: str
    uri: str
    height: int
    width: int
    brightest: str


@dataclass(frozen=True)
class PictureRow:
    """The pictures of one number of passes: torch's, Paddle's and their difference, on one page row."""

    recurrence: int
    pictures: tuple[Picture, ...]
    verdict: str


def draw_attention(attention: AttentionMaps) -> list[PictureRow]:
    """torch's and Paddle's maps on one colour scale, and their absolute difference on its own."""
    rows = []
    for entry in attention.maps:
        highest = float(max(entry.torch.max(), entry.paddle.max()))
        pictures = [_draw("torch", entry.torch, highest), _draw("Paddle", entry.paddle, highest)]
        difference = entry.difference
        if difference is None:
            verdict = f"torch's map is {_size(entry.torch)}, Paddle's {_size(entry.paddle)}: nothing to subtract"
        else:
            largest = float(difference.max())
            pictures.append(_draw("difference", difference, largest))
            verdict = f"differ by at most {figure(largest)}" if largest else "equal, bit for bit"
        rows.append(PictureRow(entry.recurrence, tuple(pictures), verdict))
    return rows


def _draw(title: str, values: Array, highest: float) -> Picture:
    colours = np.array([list(bytes.fromhex(colour)) for colour in VIRIDIS], dtype=float)
    shares = np.clip(np.nan_to_num(values / highest if highest else values), 0, 1) * (len(colours) - 1)
    positions = np.arange(len(colours))
    pixels = np.stack([np.interp(shares, positions, channel) for channel in colours.T], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(buffer, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    height, width = values.shape
    return Picture(title, uri, height, width, figure(highest))


def _size(values: Array) -> str:
    return "×".join(map(str, values.shape))
