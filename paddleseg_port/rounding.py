"""Whether rounding explains that an exported model gives a pixel another class: the rule of `ccnet-eval`."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import click
import numpy as np
import paddle
from paddle import Tensor, nn

from converter.errors import ConverterError, InputError
from recipe.pictures import PictureError, open_picture
from twins.tolerances import FLOAT32_NOISE_RATIO

Array = np.ndarray[Any, Any]


def measure_rounding(model: nn.Layer, images: Tensor) -> float | None:
    """Greatest distance of `model`'s float32 logits from its float64 ones, as a share of the greatest of these.

    None if it cannot compute in float64.
    """
    try:
        with paddle.no_grad():
            rounded = model(images)[0].numpy().astype(np.float64)
            exact = deepcopy(model).to(dtype="float64")(images.astype("float64"))[0].numpy()
    except Exception:  # noqa: BLE001 - a user's model, or an operator of Paddle's, may know float32 alone
        return None
    if exact.dtype != np.float64 or not np.isfinite(exact).all():
        return None
    return float(np.abs(exact - rounded).max() / np.abs(exact).max())


def compare_classes(classes: Array, logits: Array | None, rounding: float | None, path: Path) -> None:
    """Compare an exported model's `classes` (H, W) with the eager model's in the PNG at `path`.

    A pixel of another class is explained if the margin between both classes in `logits` (K, H, W) is at most
    FLOAT32_NOISE_RATIO times `rounding`, on the scale of the logits. Raises ConverterError if one is not.
    """
    expected = _read_classes(path)
    if expected.shape != classes.shape:
        raise ConverterError(f"{path.name}: the exported model gives {classes.shape}, the eager one {expected.shape}")
    rows, columns = np.nonzero(classes != expected)
    if not len(rows):
        return
    margins, noise = np.full(len(rows), np.inf), 0.0
    if logits is not None and rounding is not None:
        noise = FLOAT32_NOISE_RATIO * rounding * float(np.abs(logits).max())
        margins = _margins(logits, rows, columns, classes, expected)
    unexplained = int((~(margins <= noise)).sum())  # not `margins > noise`: a NaN is not explained
    found = (
        f"{path.name}: the exported model gives {len(rows)} of {classes.size} pixels another class than the eager one"
    )
    worst = int(margins.argmax())
    where = f"{margins[worst]:.1e} at row {rows[worst]}, column {columns[worst]}"
    if unexplained:
        raise ConverterError(
            f"{found}, {unexplained} of them with a margin above the rounding noise of {noise:.1e} (the greatest "
            f"{where}); do not use it with this backend"
        )
    click.echo(f"{found}; rounding explains it: the greatest margin is {where}, the noise {noise:.1e}")


def _margins(logits: Array, rows: Array, columns: Array, classes: Array, expected: Array) -> Array:
    """How much more the chosen class scores than the expected one; a class that the model lacks is far off."""
    other = expected[rows, columns]
    known = other < len(logits)
    chosen = logits[classes[rows, columns], rows, columns].astype(np.float64)
    return np.where(known, chosen - logits[np.where(known, other, 0), rows, columns], np.inf)


def _read_classes(path: Path) -> Array:
    try:
        with open_picture(path, ("PNG",)) as picture:
            return np.asarray(picture)
    except PictureError as error:
        raise InputError(f"{path}: not a readable PNG of classes ({error}); write it with ccnet-seg predict") from None
