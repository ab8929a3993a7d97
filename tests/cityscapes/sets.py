"""A small generated data set, and what users do wrong with one."""

from __future__ import annotations

from pathlib import Path

from cityscapes.generate import CITY, make_dataset
from cityscapes.layout import IMAGES, LABELS

SIZE = (64, 128)


def make_small_set(root: Path, *, count: int = 2, size: tuple[int, int] = SIZE, **options: object) -> Path:
    """A set of `count` validation pictures."""
    make_dataset(root, counts={"val": count}, size=size, **options)
    return root


def image_path(root: Path, number: int = 0) -> Path:
    return sorted((root / IMAGES / "val" / CITY).iterdir())[number]


def label_path(root: Path, number: int = 0, ending: str = "labelIds.png") -> Path:
    return sorted((root / LABELS / "val" / CITY).glob(f"*{ending}"))[number]
