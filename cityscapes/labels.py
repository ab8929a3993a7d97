"""The 19 evaluated classes of Cityscapes and their ids (cityscapesScripts, helpers/labels.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.names import count

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]

IGNORED = 255
"""Train id of every pixel that is not evaluated."""
LARGEST_ID = 33


@dataclass(frozen=True)
class LabelClass:
    """An evaluated class. Its train id is its place in `CLASSES`; `id` is what a labelIds file holds."""

    name: str
    id: int
    colour: Colour


CLASSES = (
    LabelClass("road", 7, (128, 64, 128)),
    LabelClass("sidewalk", 8, (244, 35, 232)),
    LabelClass("building", 11, (70, 70, 70)),
    LabelClass("wall", 12, (102, 102, 156)),
    LabelClass("fence", 13, (190, 153, 153)),
    LabelClass("pole", 17, (153, 153, 153)),
    LabelClass("traffic light", 19, (250, 170, 30)),
    LabelClass("traffic sign", 20, (220, 220, 0)),
    LabelClass("vegetation", 21, (107, 142, 35)),
    LabelClass("terrain", 22, (152, 251, 152)),
    LabelClass("sky", 23, (70, 130, 180)),
    LabelClass("person", 24, (220, 20, 60)),
    LabelClass("rider", 25, (255, 0, 0)),
    LabelClass("car", 26, (0, 0, 142)),
    LabelClass("truck", 27, (0, 0, 70)),
    LabelClass("bus", 28, (0, 60, 100)),
    LabelClass("train", 31, (0, 80, 100)),
    LabelClass("motorcycle", 32, (0, 0, 230)),
    LabelClass("bicycle", 33, (119, 11, 32)),
)
NUM_CLASSES = len(CLASSES)
NAMES = tuple(item.name for item in CLASSES)
IDS = {item.name: item.id for item in CLASSES}

ID_OF = np.array([item.id for item in CLASSES], np.uint8)
"""Train id -> id."""
TRAIN_ID_OF = np.full(256, IGNORED, np.uint8)
"""Id -> train id."""
TRAIN_ID_OF[ID_OF] = np.arange(NUM_CLASSES)
PALETTE = np.zeros((256, 3), np.uint8)
"""Train id -> colour (R, G, B); black for ignored pixels."""
PALETTE[:NUM_CLASSES] = [item.colour for item in CLASSES]


def to_train_ids(ids: Array) -> Array:
    """Label ids, uint8 of any shape -> train ids 0 … 18 and 255, uint8.

    Raises ValueError for an id that Cityscapes does not have.
    """
    _check(ids, ids > LARGEST_ID, f"Cityscapes ids end at {LARGEST_ID}")
    return np.asarray(TRAIN_ID_OF[ids])


def check_train_ids(train_ids: Array) -> Array:
    """`train_ids`, uint8. Raises ValueError if one is neither a class nor 255."""
    _check(
        train_ids,
        (train_ids >= NUM_CLASSES) & (train_ids != IGNORED),
        f"train ids are 0 … {NUM_CLASSES - 1} and {IGNORED}",
    )
    return train_ids


def to_ids(train_ids: Array) -> Array:
    """Predicted train ids, uint8 of any shape -> label ids, uint8."""
    return np.asarray(ID_OF[train_ids])


def _check(values: Array, wrong: Array, rule: str) -> None:
    if wrong.any():
        raise ValueError(f"holds the label {int(values[wrong][0])} in {count(int(wrong.sum()), 'pixel')}; {rule}")
