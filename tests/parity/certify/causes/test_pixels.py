"""Preprocessing of porters, each with its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity.certify.cases import make_subject, outcome_of

BGR = np.array([104.00698793, 116.66876762, 122.67891434])


def kept_as_rgb(pixels: Any) -> Any:
    return np.stack([pixels[:, :, c].astype("float32") - np.float32(BGR[c]) for c in range(3)])


def between_zero_and_one(pixels: Any) -> Any:
    return (np.moveaxis(pixels, 2, 0)[::-1] - BGR[:, None, None]) / 255.0


def of_torchvision(pixels: Any) -> Any:
    return np.moveaxis((pixels / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], 2, 0)


def squared(pixels: Any) -> Any:
    """Nothing that is known."""
    return np.moveaxis(pixels, 2, 0)[::-1].astype("float64") ** 2 / 255 - BGR[:, None, None]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("kept_as_rgb", "channel order"),
        ("between_zero_and_one", "scale"),
        ("of_torchvision", "normalisation"),
        ("squared", None),
    ],
)
def test_the_cause_of_other_pixels(function: str, name: str | None, tmp_path: Path) -> None:
    parts = {"preprocessing": f"{__name__}:{function}"}
    outcome = outcome_of("validation data", make_subject(tmp_path, port="tests.parity.renamed_port:build", parts=parts))
    assert outcome.verdict == "failed"
    assert (outcome.cause and outcome.cause.name) == name
