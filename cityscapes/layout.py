"""The folders of Cityscapes: which picture has which labels.

ROOT/leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png and ROOT/gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png, or
NAME_gtFine_labelTrainIds.png where every picture of the split has one (cityscapes-dataset.com, "dataset structure").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cityscapes.errors import DatasetError
from cityscapes.labels import check_train_ids, to_train_ids
from converter.names import count
from recipe.pictures import PictureError, open_picture

Array = np.ndarray[Any, Any]

IMAGES, LABELS = "leftImg8bit", "gtFine"
IMAGE_ENDING = "_leftImg8bit.png"
FORMATS = ("PNG",)
"""Of both, whatever a file is called."""
ID_ENDING, TRAIN_ID_ENDING = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture and its labels. `name` is `CITY/NAME`."""

    name: str
    image: Path
    label: Path

    @property
    def has_train_ids(self) -> bool:
        """Whether the label file holds train ids."""
        return self.label.name.endswith(TRAIN_ID_ENDING)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A sample in memory: `pixels` (H, W, 3) uint8 RGB, `label` (H, W) uint8 train ids, 255 ignored."""

    name: str
    pixels: Array
    label: Array


def list_samples(root: Path, split: str = "val") -> list[Sample]:
    """The samples of a split, by name. Raises DatasetError, saying what to do, unless all are paired."""
    check_root(root)
    _check_split(root, split)
    images = _find(root / IMAGES / split, IMAGE_ENDING)
    if not images:
        raise DatasetError(f"{root / IMAGES / split}: no CITY/*{IMAGE_ENDING} inside; is the download complete?")
    folder = root / LABELS / split
    train_ids, ids = _find(folder, TRAIN_ID_ENDING), _find(folder, ID_ENDING)
    labels = train_ids if images.keys() <= train_ids.keys() else ids
    if not labels:
        raise DatasetError(_explain_no_labels(folder, split))
    _check_pairs(images, labels, split)
    return [Sample(name=name, image=images[name], label=labels[name]) for name in sorted(images)]


def decode(sample: Sample) -> Decoded:
    """Read both files. Raises DatasetError if one is damaged, not what it should be, or their sizes differ."""
    pixels = _read(sample.image, "RGB", "a picture of 8-bit red, green and blue")
    label = _read(sample.label, "L", "one 8-bit label per pixel; gtFine's *_color.png are not labels")
    if pixels.shape[:2] != label.shape:
        sizes = [" × ".join(map(str, shape)) for shape in (pixels.shape[:2], label.shape)]
        raise DatasetError(f"{sample.image}: is {sizes[0]}, its labels {sample.label.name} are {sizes[1]} (H × W)")
    try:
        train_ids = check_train_ids(label) if sample.has_train_ids else to_train_ids(label)
    except ValueError as error:
        raise DatasetError(f"{sample.label}: {error}") from None
    return Decoded(name=sample.name, pixels=pixels, label=train_ids)


def picture_size(sample: Sample) -> tuple[int, int] | None:
    """Height and width of a sample, from the head of its picture's file; None if it cannot be read any more."""
    try:
        with open_picture(sample.image, FORMATS) as picture:
            return picture.height, picture.width
    except PictureError:
        return None


def check_root(root: Path) -> None:
    """Raise DatasetError unless the folder `root` has Cityscapes' parts."""
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder; give the one that holds {IMAGES} and {LABELS}")
    if root.name in (IMAGES, LABELS):
        raise DatasetError(f"{root}: is a part of Cityscapes; give the folder above, {root.resolve().parent}")
    for part in (IMAGES, LABELS):
        if not (root / part).is_dir():
            raise DatasetError(f"{root}: has no {part} inside{_hint(root, part)}")


def _check_split(root: Path, split: str) -> None:
    if not (root / IMAGES / split).is_dir():
        splits = sorted(path.name for path in (root / IMAGES).iterdir() if path.is_dir())
        raise DatasetError(f"{root / IMAGES}: has no split {split!r}; it has {', '.join(splits) or 'none'}")


def _hint(root: Path, part: str) -> str:
    nested = [path.name for path in sorted(root.iterdir()) if (path / part).is_dir()]
    if nested:
        return f"; did you mean {root / nested[0]}?"
    package = {IMAGES: "leftImg8bit_trainvaltest.zip", LABELS: "gtFine_trainvaltest.zip"}[part]
    return f"; unpack {package} there, or make a set with --make-dataset"


def _find(folder: Path, ending: str) -> dict[str, Path]:
    """`CITY/NAME` -> path of the files with this ending."""
    return {
        f"{path.parent.name}/{path.name.removesuffix(ending)}": path
        for path in folder.glob(f"*/*{ending}")
        if not path.name.startswith(".")
    }


def _explain_no_labels(folder: Path, split: str) -> str:
    if split == "test":
        return f"{folder}: the labels of the test split are not public; evaluate --split val"
    return f"{folder}: no CITY/*{ID_ENDING} inside; unpack gtFine_trainvaltest.zip"


def _check_pairs(images: dict[str, Path], labels: dict[str, Path], split: str) -> None:
    for noun, what, lonely in (
        ("picture", " without labels", images.keys() - labels.keys()),
        ("label", " without a picture", labels.keys() - images.keys()),
    ):
        if lonely:
            found = count(len(lonely), noun, what, what)
            raise DatasetError(
                f"split {split}: {found}, first {min(lonely)}; unpack both archives of one release again"
            )


def _read(path: Path, mode: str, needed: str) -> Array:
    try:
        with open_picture(path, FORMATS) as picture:
            found = picture.mode
            pixels = np.asarray(picture) if found == mode else None
    except PictureError as error:
        raise DatasetError(f"{path}: not a readable PNG ({error}); copy or unpack it again") from None
    if pixels is None:
        raise DatasetError(f"{path}: its mode is {found}, not {mode}: needed is {needed}")
    return pixels
