"""The outcome of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cityscapes.totals import Totals

REACHED = 0.15
"""Percentage points of mIoU below a published figure that still count as reaching it: the reproduction guide's."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures of every framework, their agreement, and the published ones. True unless a flip is unexplained."""

    totals: Totals
    protocol: str
    published: list[dict[str, Any]]
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.totals.agreement is None or bool(self.totals.agreement)

    @property
    def confusion_equal(self) -> bool:
        """Whether all frameworks counted the same."""
        first, *others = self.totals.confusion.values()
        return all(np.array_equal(first, other) for other in others)

    @property
    def miou_difference(self) -> float:
        """Paddle's mIoU minus torch's."""
        scores = self.totals.scores
        return scores["paddle"].miou - scores["torch"].miou

    def reached(self, figure: dict[str, Any]) -> dict[str, bool]:
        """Whether each framework is at most REACHED below a published figure."""
        return {name: 100 * score.miou >= figure["miou"] - REACHED for name, score in self.totals.scores.items()}

    def to_json(self) -> dict[str, Any]:
        """As `ccnet-eval --json` prints it. mIoU is a share of 1, published figures are in percent."""
        scores = self.totals.scores
        return {
            "images": self.totals.images,
            "protocol": self.protocol,
            "torch": scores["torch"].to_json() if "torch" in scores else None,
            "paddle": scores["paddle"].to_json() if "paddle" in scores else None,
            "agreement": self._agreement(),
            "published": [{**figure, "reached": self.reached(figure)} for figure in self.published],
            "settings": self.settings,
            "notes": list(self.notes),
        }

    def _agreement(self) -> dict[str, Any] | None:
        agreement = self.totals.agreement
        if agreement is None:
            return None
        found = agreement.to_json()
        return {
            "confusion_equal": self.confusion_equal,
            "differing_pixels": found["differing"],
            "unexplained_pixels": found["unexplained"],
            "miou_difference": None if np.isnan(self.miou_difference) else self.miou_difference,
            "noise": found["noise"],
            "worst": found["worst"],
        }
