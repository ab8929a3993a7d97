"""What an evaluation has counted so far; sums over processes, and survives an interruption as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cityscapes.agreement import Agreement
from cityscapes.confusion import Array, Score
from cityscapes.labels import NUM_CLASSES
from cityscapes.pictures import Picture, choose_pictures
from converter.files.documents import Schema, nullable, record

COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 1 << 62}
TEXT: Schema = {"type": "string", "maxLength": 4096}
ROW: Schema = {"type": "array", "items": COUNT, "minItems": NUM_CLASSES, "maxItems": NUM_CLASSES}
MATRIX: Schema = {"type": "array", "items": ROW, "minItems": NUM_CLASSES, "maxItems": NUM_CLASSES}
PANEL: Schema = {"type": "string", "pattern": "^data:image/png;base64,[A-Za-z0-9+/]*={0,2}$"}
FLIP = record(
    {"image": TEXT, "row": COUNT, "column": COUNT, "torch": TEXT, "paddle": TEXT, "margin": {"type": "number"}}
)
SCHEMA = record(
    {
        "images": COUNT,
        "confusion": {"type": "object", "additionalProperties": MATRIX},
        "agreement": nullable(
            record(
                {
                    "noise": {"type": "number"},
                    "differing": COUNT,
                    "unexplained": COUNT,
                    "worst": {"type": "array", "items": FLIP},
                }
            )
        ),
        "pictures": {
            "type": "array",
            "items": record(
                {
                    "index": COUNT,
                    "name": TEXT,
                    "differing": COUNT,
                    "panels": {"type": "object", "additionalProperties": PANEL},
                }
            ),
        },
    }
)
"""What `to_json` writes."""


@dataclass
class Totals:
    """Counts over the first `images` of a process's share. `confusion` has a matrix for each framework."""

    confusion: dict[str, Array]
    agreement: Agreement | None = None
    images: int = 0
    pictures: list[Picture] = field(default_factory=list)

    @classmethod
    def empty(cls, frameworks: tuple[str, ...], noise: float | None) -> Totals:
        """Nothing counted yet. `noise` where two frameworks are to agree."""
        matrices = {name: np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64) for name in frameworks}
        return cls(confusion=matrices, agreement=None if noise is None else Agreement(noise))

    @property
    def scores(self) -> Mapping[str, Score]:
        """Each framework's figures."""
        return {name: Score(matrix) for name, matrix in self.confusion.items()}

    def add_picture(self, picture: Picture) -> None:
        """Keep it, if it is among the most telling."""
        self.pictures = choose_pictures([*self.pictures, picture])

    def merge(self, other: Totals) -> None:
        """Add another process's."""
        self.images += other.images
        self.pictures = choose_pictures([*self.pictures, *other.pictures])
        for name, matrix in other.confusion.items():
            self.confusion[name] = self.confusion[name] + matrix
        if self.agreement is not None and other.agreement is not None:
            self.agreement.merge(other.agreement)

    def to_json(self) -> dict[str, Any]:
        """Everything, exactly."""
        return {
            "images": self.images,
            "confusion": {name: matrix.tolist() for name, matrix in self.confusion.items()},
            "agreement": None if self.agreement is None else self.agreement.to_json(),
            "pictures": [picture.to_json() for picture in self.pictures],
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Totals:
        """What `to_json` wrote."""
        agreement = record["agreement"]
        return cls(
            images=record["images"],
            confusion={name: np.array(matrix, np.int64) for name, matrix in record["confusion"].items()},
            agreement=None if agreement is None else Agreement.from_json(agreement),
            pictures=[Picture(**picture) for picture in record["pictures"]],
        )
