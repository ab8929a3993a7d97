"""What the networks are fed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converter.files.npz import Archive
from families import Preprocessing
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.user import call_function, describe, is_users
from recipe.pictures import PictureError, open_picture
from recipe.preprocessing import preprocess

Array = np.ndarray[Any, Any]

DEFAULT_SIZES = ((97, 65), (64, 112), (49, 49))
"""Odd, even, neither square, and one whose feature map is square: some mistakes show only on one of them."""
DEFAULT_BATCH = 2


def make_images(size: tuple[int, int], *, seed: int, batch: int = DEFAULT_BATCH) -> Array:
    """Standard normal images (batch, 3, H, W), float64, a function of size and seed."""
    return np.random.default_rng([seed, *size]).standard_normal((batch, 3, *size))


def read_image(path: Path, preprocessing: Preprocessing, *, size: tuple[int, int] | None = None) -> Array:
    """A picture as network input (1, 3, H, W), float64, resized to `size` (H, W) if given.

    Raises ParityInputError if the file is not a readable picture.
    """
    try:
        with open_picture(path) as picture:
            pixels = picture.convert("RGB")
    except PictureError as error:
        raise ParityInputError(f"{path}: not a readable picture ({error})") from None
    if size is not None:
        pixels = pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return preprocess(np.asarray(pixels), preprocessing)[None]


def read_inputs(spec: str) -> dict[str, Arguments]:
    """The user's own inputs: a `.npz` of arrays by name, or what `package.module:function` returns.

    The function may return an array, a dictionary of arrays by name, or a list of them. Integers and booleans stay what
    they are. Raises ParityInputError for a file that is not one, and for anything else than numbers.
    """
    if spec.endswith(".npz"):
        with Archive(Path(spec)) as archive:
            found: Any = {name: archive.read(name) for name in archive.names}
    else:
        found = call_function(spec, "--inputs")
    return {Path(spec).name: arrange(found, f"--inputs {spec}")}


def arrange(found: Any, whose: str) -> Arguments:
    """One array, a list of arrays, or a dictionary of arrays by name, as what a network is called with.

    Tensors of either framework are read as arrays. Raises ParityInputError, which names `whose` they are, for anything
    else than numbers.
    """
    named = found if isinstance(found, dict) else {}
    ordered = () if named else found if isinstance(found, list | tuple) else (found,)
    arguments = Arguments(tuple(map(_to_array, ordered)), {name: _to_array(value) for name, value in named.items()})
    odd = [str(array.dtype) for array in arguments.tensors if array.dtype.kind not in "fiub"]
    if odd or not arguments.tensors:
        raise ParityInputError(f"{whose}: gives {odd[0] if odd else 'nothing'}, not arrays of numbers")
    if empty := [array.shape for array in arguments.tensors if not array.size]:
        raise ParityInputError(f"{whose}: gives an array without elements, of shape {empty[0]}")
    return arguments


@contextmanager
def running_on(spec: str | None) -> Iterator[None]:
    """Within, a twin that cannot run on the inputs that `spec` names raises ParityInputError, which says why."""
    try:
        yield
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        places = {Path(frame.filename).parent.name for frame in traceback.extract_tb(error.__traceback__)}
        if spec is None or not (places & {"models_torch", "models_paddle"} or is_users(error)):
            raise
        raise ParityInputError(f"--inputs {spec}: the network cannot run on them ({describe(error)})") from error


def _to_array(value: Any) -> Array:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
