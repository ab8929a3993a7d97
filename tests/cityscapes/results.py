"""A result for the tests of tables and page."""

from __future__ import annotations

import numpy as np

from cityscapes.agreement import Agreement, Flip
from cityscapes.layout import Decoded
from cityscapes.pictures import draw_picture
from cityscapes.result import Result
from cityscapes.totals import Totals


def make_result(*, healthy: bool = True, frameworks: tuple[str, ...] = ("torch", "paddle")) -> Result:
    """Two thirds right, all classes but the last; with two frameworks, one flipped pixel."""
    totals = Totals.empty(frameworks, 1e-3 if len(frameworks) == 2 else None)
    totals.images = 2
    for name in frameworks:
        totals.confusion[name][:18, :18] = 10 + 380 * np.eye(18, dtype=np.int64)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 19, (64, 1028), np.uint8)
    sample = Decoded(name="generated/<b>", pixels=rng.integers(0, 256, (64, 1028, 3), np.uint8), label=label)
    flipped = None
    if totals.agreement is not None:
        totals.confusion["paddle"][0, :2] += (-1, 1)
        flip = Flip(
            image=sample.name, row=63, column=1027, torch="road", paddle="sidewalk", margin=5e-4 if healthy else 2.0
        )
        totals.agreement = Agreement(1e-3, differing=1, unexplained=int(not healthy), worst=[flip])
        flipped = np.zeros(label.shape, bool)
        flipped[63, 1027] = True
    totals.add_picture(draw_picture(0, sample, dict.fromkeys(frameworks, label), flipped))
    return Result(
        totals=totals,
        protocol="official",
        published=[
            {"label": "R=2", "miou": 69.7, "source": "README"},
            {"label": "high", "miou": 99.0, "source": "README"},
        ],
        settings={
            "split": "val",
            "family": "official",
            "recurrence": 2,
            "window": 769,
            "overlap": "1/3",
            "padded_size": (1024, 2048),
            "scales": [0.75, 1.0],
            "flip": True,
            "weights": dict.fromkeys(frameworks, "0" * 64),
        },
        notes=("a note",),
    )
