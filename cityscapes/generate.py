"""A data set in Cityscapes' layout, generated: for those who have no Cityscapes, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from cityscapes.errors import DatasetError
from cityscapes.folders import make_folder
from cityscapes.labels import to_train_ids
from cityscapes.layout import ID_ENDING, IMAGE_ENDING, IMAGES, LABELS, TRAIN_ID_ENDING, Array
from cityscapes.scenes import make_scene
from converter.files.atomic import staged

SPLITS = ("train", "val")
CITY = "generated"
"""The city in every path, so that nobody takes these pictures for Cityscapes."""
FULL_SIZE = (1024, 2048)
DEFAULT_COUNTS = {"train": 16, "val": 8}


def make_dataset(
    root: Path,
    *,
    counts: Mapping[str, int] = DEFAULT_COUNTS,
    size: tuple[int, int] = FULL_SIZE,
    seed: int = 0,
    train_ids: bool = False,
    progress: Callable[[str], None] = lambda name: None,
) -> None:
    """Write `counts` pictures of each split, (H, W) `size`, with label ids and, if asked, train ids.

    Each picture is a function of seed, split, number and size, and has all 19 classes. Raises DatasetError
    if the folder is not empty, or the size too small.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(f"{root}: is not an empty folder; name a new one for the generated set")
    for split, count in counts.items():
        for number in range(count):
            name = f"{CITY}_{SPLITS.index(split):06d}_{number:06d}"
            progress(f"{split} {number + 1} / {count}")
            try:
                pixels, ids = make_scene(*size, [seed, SPLITS.index(split), number])
            except ValueError as error:
                raise DatasetError(str(error)) from None
            _write(root / IMAGES / split / CITY / f"{name}{IMAGE_ENDING}", pixels)
            _write(root / LABELS / split / CITY / f"{name}{ID_ENDING}", ids)
            if train_ids:
                _write(root / LABELS / split / CITY / f"{name}{TRAIN_ID_ENDING}", to_train_ids(ids))


def _write(path: Path, pixels: Array) -> None:
    make_folder(path.parent)
    with staged(path) as (temporary,):
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, "PNG", compress_level=1)
