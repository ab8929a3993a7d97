"""Loaders of porters, each with its cause: by charts, and bit for bit where both draw from one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cityscapes.labels import ID_OF
from cityscapes.layout import decode, list_samples
from models_paddle import paddle
from parity.certify.gate import Outcome
from parity.certify.parts.kit import Part
from parity.certify.parts.loaders import FunctionSource
from parity.certify.sides import PaddleSide
from recipe.augmentation import Augmentation
from tests.parity.certify.cases import make_subject, outcome_of

Array = np.ndarray[Any, Any]
CROP = 97
MEAN = np.array([104.00698793, 116.66876762, 122.67891434])
Draw = Callable[[np.random.Generator], float]


def by_fifteen(rng: np.random.Generator) -> float:
    return 0.7 + int(rng.integers(15)) / 10


def load(
    root: str,
    *,
    draw: Draw = by_fifteen,
    crop: int = CROP,
    mirror: Callable[[Array, Array], tuple[Array, Array]] = lambda x, y: (x[:, ::-1], y[:, ::-1]),
    often: float = 0.5,
    fill: Any = None,
    void: int = 255,
    labels: Callable[[Array], Array] = lambda ids: ids,
    shade: Draw = lambda rng: 0.0,
) -> Iterator[Any]:
    """As a porter writes it, with Pillow, picture by picture and without end."""
    rng = np.random.default_rng(11)
    samples = [decode(sample) for sample in list_samples(Path(root), "train")]
    while True:
        for sample in samples:
            scale = draw(rng)
            size = round(sample.pixels.shape[1] * scale), round(sample.pixels.shape[0] * scale)
            picture = np.asarray(Image.fromarray(sample.pixels).resize(size, Image.Resampling.BILINEAR), np.float64)
            target = np.asarray(Image.fromarray(labels(sample.label)).resize(size, Image.Resampling.NEAREST))
            picture = picture[:, :, ::-1] - MEAN + shade(rng)
            spare = [(0, max(crop - side, 0)) for side in target.shape]
            picture = np.pad(picture, [*spare, (0, 0)])
            if fill is not None:
                picture[size[1] :], picture[:, size[0] :] = fill, fill
            target = np.pad(target, spare, constant_values=void)
            top, left = (int(rng.integers(side - crop + 1)) for side in target.shape)
            picture, target = (own[top : top + crop, left : left + crop] for own in (picture, target))
            if rng.random() < often:
                picture, target = mirror(picture, target)
            image = paddle.to_tensor(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
            yield {"img": image, "label": paddle.to_tensor(target[None].astype("int64"))}


def explained(folder: Path, **changes: Any) -> Outcome:
    source = FunctionSource(partial(load, **changes))
    source.size, source.shrunk, source.most = (128, 256), 8, 250
    subject = make_subject(folder)
    subject.__dict__["port_kit"] = {**subject.port_kit, "loader": Part("my_loader", source)}
    return outcome_of("training data", subject)


def as_ids(labels: Array) -> Array:
    return np.where(labels == 255, 255, np.append(ID_OF, np.zeros(237, np.uint8))[labels]).astype(np.uint8)


WRONG = {
    "scales": ({"draw": lambda rng: rng.uniform(0.5, 2.0)}, "scales", "scaled by 0.5 to 2, the reference's"),
    "unscaled": ({"draw": lambda rng: 1.0}, "scales", "not at all"),
    "always": ({"often": 1.0}, "mirroring", "all pictures are mirrored"),
    "seldom": ({"often": 0.1}, "mirroring", "% of the pictures"),
    "pixels": ({"mirror": lambda x, y: (x[:, ::-1], y)}, "mirrored without labels", "their labels are not"),
    "rows": ({"mirror": lambda x, y: (x[:, ::-1], y[::-1])}, "mirrored without labels", "their labels top to bottom"),
    "filled": ({"fill": 0.5 - MEAN}, "padding values", "padded pixels are -103.5"),
    "black": ({"fill": -MEAN}, "padding values", "0 before normalisation"),
    "learnt": ({"void": 0}, "padding learnt", "labelled 0"),
    "ids": ({"labels": as_ids}, "train ids", "the files' own ids, no train ids"),
    "two": ({"draw": lambda rng: rng.uniform(0.5, 2.0), "often": 0.0}, "scales and mirroring", "never mirrored"),
}


@pytest.mark.parametrize("which", WRONG)
def test_the_cause_of_another_augmentation(which: str, tmp_path: Path) -> None:
    changes, name, words = WRONG[which]
    outcome = explained(tmp_path, **changes)
    assert outcome.verdict == "failed", outcome.reason
    assert outcome.cause is not None, outcome.facts
    assert outcome.cause.name == name
    assert words in outcome.cause.text
    assert outcome.cause.proved


def test_no_mistake_no_alarm(tmp_path: Path) -> None:
    assert explained(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"shade": lambda rng: rng.uniform(-30, 30)},
        {"draw": lambda rng: 0.7 + 1.4 * rng.random() ** 3},
        {"mirror": lambda x, y: (x[:, ::-1], np.roll(y[:, ::-1], 12, 1))},
    ],
    ids=["shaded", "skewed", "rolled"],
)
def test_what_no_known_mistake_repeats_has_no_cause(changes: dict[str, Any], tmp_path: Path) -> None:
    outcome = explained(tmp_path, **changes)
    assert outcome.verdict == "failed"
    assert outcome.cause is None
    assert outcome.tried > 20
    assert outcome.facts


def with_another(**settings: Any) -> Callable[[PaddleSide], None]:
    def edit(side: PaddleSide) -> None:
        make = side.augmentation

        def augmentation(*crop: Any) -> Any:
            own = make(*crop)

            def augment(pixels: Array, labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
                return _augment(own, pixels, labels, rng, **settings)

            return augment

        side.augmentation = augmentation  # type: ignore[method-assign]

    return edit


def _augment(
    own: Augmentation, pixels: Array, labels: Array, rng: np.random.Generator, *, void: int = 255, power: float = 1.0
) -> tuple[Array, Array]:
    image, target = own(pixels, np.where(labels == 255, void, labels), rng)
    return (np.abs(image) ** power * np.sign(image)).astype(np.float32), target


@pytest.mark.parametrize(("settings", "name"), [({"void": 0}, "void learnt"), ({"power": 0.5}, None)])
def test_pictures_of_one_stream(settings: dict[str, Any], name: str | None, tmp_path: Path) -> None:
    outcome = outcome_of("training data", make_subject(tmp_path, edit=with_another(**settings)))
    assert outcome.verdict == "failed"
    assert (outcome.cause and outcome.cause.name) == name
    assert outcome.tried > 20
