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
from families import get_family
from models_paddle import paddle
from parity.certify.causes.engine import Asked, explain
from parity.certify.causes.training_data import propose_samples
from parity.certify.gate import Outcome
from parity.certify.paddle_side import PaddleSide
from parity.certify.parts.kit import Part
from parity.certify.parts.loaders import FunctionSource
from recipe.augmentation import Augmentation, resize_pixels
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


def drawn(rng: np.random.Generator) -> tuple[float, tuple[float, float], bool]:
    """Scale, place of the crop as shares of the room, and mirroring, as the recipe draws them of a square of 64."""
    scale = 0.7 + int(rng.integers(15)) / 10
    room = max(round(64 * scale) - CROP, 0)
    top, left = (int(rng.integers(room + 1)) for _ in range(2))
    return scale, (top, left), bool(rng.integers(2))


def by_hand(
    pixels: Array,
    labels: Array,
    rng: np.random.Generator,
    *,
    place: Callable[[int, int], int] = lambda offset, room: offset,
    before: Callable[[int], int] = lambda spare: 0,
    fill: Array | None = None,
    turn: Callable[[Array, Array, bool], tuple[Array, Array]] = lambda x, y, flip: (
        (x[:, ::-1], y[:, ::-1]) if flip else (x, y)
    ),
    ids: Callable[[Array], Array] = lambda ids: ids,
    smooth: bool = False,
) -> tuple[Array, Array]:
    """The recipe written down once more, position by position."""
    scale, offsets, flip = drawn(rng)
    side = round(64 * scale)
    wide, room = min(side, CROP), max(side - CROP, 0)
    rows, columns = (np.arange(place(offset, room), place(offset, room) + wide) for offset in offsets)
    picture = resize_pixels(pixels, rows, columns, scale)[..., ::-1] - MEAN.astype(np.float32)
    marked = ids(labels)
    if smooth:
        target = resize_pixels(marked, rows, columns, scale).astype(np.int64)
    else:
        nearest = [np.minimum((own / scale).astype(int), 63) for own in (rows, columns)]
        target = marked[nearest[0][:, None], nearest[1]].astype(np.int64)
    spare = (before(CROP - wide), CROP - wide - before(CROP - wide))
    kept = np.pad(np.ones((wide, wide), bool), spare)
    picture = np.pad(picture, (spare, spare, (0, 0)))
    picture[~kept] = 0.0 if fill is None else fill
    target = np.pad(target, spare, constant_values=255)
    picture, target = turn(picture, target, flip)
    return picture.transpose(2, 0, 1), target


BY_HAND: dict[str, tuple[dict[str, Any], str | None]] = {
    "right": ({}, ""),
    "centre": ({"place": lambda offset, room: room // 2}, "place of the crop: the crop is from the middle"),
    "corner": ({"place": lambda offset, room: 0}, "place of the crop: the crop is from the upper left"),
    "around": ({"before": lambda spare: spare // 2}, "place of padding: small pictures are padded on all sides"),
    "above": ({"before": lambda spare: spare}, "place of padding: small pictures are padded above and left"),
    "grey": ({"fill": 127.5 - MEAN}, "padding values: padded pixels are 127.5 before normalisation"),
    "white": ({"fill": 255.0 - MEAN}, "padding values: padded pixels are 255 before normalisation"),
    "labels": (
        {"turn": lambda x, y, flip: (x, y[:, ::-1] if flip else y)},
        "mirrored without labels: labels are mirrored, their pixels are not",
    ),
    "upside down": (
        {"turn": lambda x, y, flip: (x[::-1], y[::-1]) if flip else (x, y)},
        "mirroring: pictures are mirrored top to bottom",
    ),
    "one less": (
        {"ids": lambda ids: np.where(ids % 255 == 0, 255, ids.astype(np.int64) - 1)},
        "labels shifted: labels are one less",
    ),
    "smooth": ({"smooth": True}, "labels interpolated: labels are resized bilinear"),
    "turned": ({"turn": lambda x, y, flip: (x.swapaxes(0, 1), y.T)}, None),
}


@pytest.mark.parametrize("which", BY_HAND)
def test_a_mistake_in_one_stream(which: str) -> None:
    changes, words = BY_HAND[which]
    own = Augmentation(preprocessing=get_family("official").preprocessing, crop=(CROP, CROP))
    rng = np.random.default_rng(5)
    pixels, labels = rng.integers(0, 256, (64, 64, 3), np.uint8), rng.integers(0, 19, (64, 64)).astype(np.uint8)
    labels[:9] = 255

    def give(augmentation: Augmentation, number: int) -> tuple[Array, Array]:
        return augmentation(pixels, labels, np.random.default_rng(number))

    asked = []
    for number in range(12):
        actual = by_hand(pixels, labels, np.random.default_rng(number), **changes)
        sides = (dict(zip(("images", "labels"), pair, strict=True)) for pair in (actual, give(own, number)))
        asked.append(Asked(number, *sides, limit=1e-6))
    cause = explain(asked, propose_samples(own, give)).cause
    assert (cause is None) == (not words)
    assert cause is None or f"{cause.name}: {cause.text}".startswith(str(words))
