"""From the options of `ccnet-parity` to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from families import Preprocessing
from parity.inputs import DEFAULT_SIZES, make_images, read_image
from parity.outputs import compare_outputs
from parity.report import Report
from parity.weights import read_pair, standin_pair

DEFAULT_RECURRENCE = 2


def compare(
    source: Path | None,
    target: Path | None,
    *,
    family: str | None = None,
    input_size: tuple[int, int] | None = None,
    image: Path | None = None,
    recurrence: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda phase: None,
) -> Report:
    """Compare the twins with the weights of two files, or with stand-in weights if they are None."""
    progress("weights")
    if source is None or target is None:
        weights = standin_pair(seed=seed, family=family or "official")
    else:
        weights = read_pair(source, target, family=family)
    recurrences = (recurrence, weights.recurrence, DEFAULT_RECURRENCE)
    return compare_outputs(
        weights,
        make_inputs(weights.plan.family.preprocessing, input_size=input_size, image=image, seed=seed),
        recurrence=next(value for value in recurrences if value is not None),
        device=device,
        progress=progress,
    )


def make_inputs(
    preprocessing: Preprocessing, *, input_size: tuple[int, int] | None, image: Path | None, seed: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs by a name that says what they are: a picture, or random ones of the asked or default sizes."""
    if image is not None:
        pixels = read_image(image, preprocessing, size=input_size)
        return {f"{image.name} {_by(pixels.shape)}": pixels}
    batches = [make_images(size, seed=seed) for size in ([input_size] if input_size else DEFAULT_SIZES)]
    return {_by(images.shape): images for images in batches}


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
