"""The recipe's augmentation with mistakes in it, and the mistakes that porters make, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from cityscapes.labels import ID_OF, IGNORED, NUM_CLASSES
from parity.certify.causes.engine import Array
from recipe.augmentation import IGNORE_INDEX, Augmentation, resize_labels, resize_pixels

WITHOUT_LABELS = "mirrored without labels"
Place = Literal["random", "first", "middle", "last"]


@dataclass(frozen=True, kw_only=True)
class Altered(Augmentation):
    """The same draws from the same stream, to other ends. Without any setting, the recipe's own.

    `flips` are the axes along which pixels and labels are mirrored, of (H, W), None for not at all; `share` how often,
    None for half of the times; `mirrors_again`: pixels alone are once more, always. `filling` are the values of padded
    pixels (3,); `picture_place` is where in the crop a small picture is put.
    """

    scale: Callable[[np.random.Generator], float] | None = None
    crop_place: Place = "random"
    flips: tuple[int | None, int | None] = (1, 1)
    share: float | None = None
    mirrors_again: bool = False
    relabel: Callable[[Array], Array] | None = None
    interpolates_labels: bool = False
    normalise: Callable[[Array], Array] | None = None
    filling: Callable[[Altered], Array] | None = None
    padding_label: int = IGNORE_INDEX
    picture_place: Place = "first"

    def __call__(self, pixels: Array, labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        drawn = self.draw_scale(rng)
        scale = drawn if self.scale is None else self.scale(rng)
        size = tuple(round(side * scale) for side in labels.shape)
        (rows, top), (columns, left) = (self._cut(side, crop, rng) for side, crop in zip(size, self.crop, strict=True))
        flip = bool(rng.integers(2)) if self.share is None else bool(rng.random() < self.share)
        target = np.full(self.crop, self.padding_label, np.int64)
        image = self._place(resize_pixels(pixels, rows, columns, scale), top, left, rng)
        target[top, left] = self._labels(labels, rows, columns, scale)
        flipped = flip and self.mirror
        image = _flip(image, self.flips[0] if flipped else None)
        target = _flip(target, self.flips[1] if flipped else None)
        image = _flip(image, 1 if self.mirrors_again else None)
        return np.ascontiguousarray(image), np.ascontiguousarray(target)

    def _place(self, seen: Array, top: slice, left: slice, rng: np.random.Generator) -> Array:
        """What is seen of the picture (h, w, 3) in its place, padded, with other colours, normalised: (3, *crop)."""
        if self.filling is None and self.padding is not None:
            levels = np.full((*self.crop, 3), self.padding, np.float32)
            levels[top, left] = seen
            return self._normalise(self._distort(levels, rng))
        image = np.zeros((3, *self.crop), np.float32) + self.padded[:, None, None].astype(np.float32)
        image[:, top, left] = self._normalise(self._distort(seen, rng))
        return image

    def _distort(self, pixels: Array, rng: np.random.Generator) -> Array:
        return pixels if self.distortion is None else self.distortion(pixels.astype(np.uint8), rng)

    def _cut(self, side: int, crop: int, rng: np.random.Generator) -> tuple[Array, slice]:
        """The positions that are kept of a scaled side, and their place in the crop."""
        room = max(side - crop, 0)
        offset = _offset(self.crop_place, room, int(rng.integers(room + 1)))
        wanted = np.arange(offset, min(offset + crop, side))
        spare = crop - len(wanted)
        before = _offset(self.picture_place, spare, 0)
        return wanted, slice(before, before + len(wanted))

    @property
    def padded(self) -> Array:
        """The values of padded pixels (3,)."""
        if self.filling is not None:
            return self.filling(self)
        return np.zeros(3) if self.padding is None else pad_before_normalising(self.padding)(self)

    def read_label(self, label: int) -> int:
        """What becomes of a train id."""
        return label if self.relabel is None else int(self.relabel(np.array([label], np.uint8))[0])

    def normalise_pixels(self, pixels: Array) -> Array:
        """RGB pixels (H, W, 3) -> (3, H, W)."""
        return self._normalise(pixels)

    def _normalise(self, pixels: Array) -> Array:
        own = super()._normalise if self.normalise is None else self.normalise
        return np.asarray(own(pixels), np.float32)

    def _labels(self, labels: Array, rows: Array, columns: Array, scale: float) -> Array:
        own = labels if self.relabel is None else self.relabel(labels)
        if self.interpolates_labels:
            return np.asarray(resize_pixels(own.astype(np.float32), rows, columns, scale).astype(np.int64))
        return resize_labels(own, rows, columns, scale)


def _flip(array: Array, axis: int | None) -> Array:
    """Along an axis of (…, H, W)."""
    return array if axis is None else np.flip(array, axis + array.ndim - 2)


def _offset(place: Place, room: int, drawn: int) -> int:
    return {"random": drawn, "first": 0, "middle": room // 2, "last": room}[place]


def pad_before_normalising(level: float) -> Callable[[Altered], Array]:
    """What the normalisation makes of pixels of this level."""
    return lambda own: own.normalise_pixels(np.full((1, 1, 3), level, np.float32))[:, 0, 0]


def _raw(most: int) -> Callable[[Array], Array]:
    """Train ids -> the ids of the label files, those above `most` ignored."""

    def relabel(labels: Array) -> Array:
        ids = np.append(ID_OF, np.zeros(256 - NUM_CLASSES, np.uint8))[labels]
        return np.where((labels == IGNORED) | (ids > most), IGNORED, ids)

    return relabel


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistake:
    """Settings of `Altered`. Two of different aspects may come together."""

    aspect: Literal["crop", "scales", "mirroring", "place", "padding", "labels", "pixels"]
    name: str
    text: str
    fix: str
    settings: Mapping[str, Any]

    def told(self, own: Augmentation) -> Mistake:
        """With the reference's own numbers in its words."""
        level = own.padding
        numbers = {
            "scales": f"by {min(own.scales):g} to {max(own.scales):g}",
            "padding": "0 after normalisation" if level is None else f"{level:g} before normalisation",
        }
        return replace(self, text=self.text.format(**numbers), fix=self.fix.format(**numbers))


def scaled(said: str, *scales: float, draw: Callable[[np.random.Generator], float] | None = None) -> Mistake:
    """Other scales, of a list or drawn."""
    return Mistake(
        aspect="scales",
        name="scales",
        text=f"pictures are scaled {said}, the reference's {{scales}}",
        fix="scale {scales}, each of its scales as likely",
        settings={"scales": scales} if draw is None else {"scale": draw},
    )


def drawn_between(least: float, most: float) -> Callable[[np.random.Generator], float]:
    """Any number between, each as likely."""
    return lambda rng: float(rng.uniform(least, most))


def cropped(text: str, crop: tuple[int, int]) -> Mistake:
    """Another size (H, W)."""
    return Mistake(aspect="crop", name="crop", text=text, fix="crop as the reference does", settings={"crop": crop})


def mirrored(text: str, *, name: str = "mirroring", **settings: Any) -> Mistake:
    """Mirrored otherwise."""
    return Mistake(
        aspect="mirroring",
        name=name,
        text=text,
        fix="mirror pixels and labels together, left to right, half of the times",
        settings=settings,
    )


def _steps(least: float, most: float, step: float) -> tuple[float, ...]:
    return tuple(least + step * number for number in range(round((most - least) / step) + 1))


def padded(text: str, filling: Callable[[Altered], Array]) -> Mistake:
    """Other values of padded pixels."""
    return Mistake(
        aspect="padding",
        name="padding values",
        text=f"padded pixels are {text}, the reference's {{padding}}",
        fix="pad by {padding}",
        settings={"filling": filling},
    )


def _placed(name: str, text: str, fix: str, **settings: Any) -> Mistake:
    return Mistake(aspect="place", name=name, text=text, fix=fix, settings=settings)


def _labelled(name: str, text: str, fix: str, **settings: Any) -> Mistake:
    return Mistake(aspect="labels", name=name, text=text, fix=fix, settings=settings)


MISTAKES = (
    scaled("by 0.5 to 2", *_steps(0.5, 2.0, 0.25)),
    scaled("by 0.5 to 2", *_steps(0.5, 2.0, 0.1)),
    scaled("by 0.5 to 2.1", *_steps(0.5, 2.1, 0.1)),
    scaled("by 0.75 to 1.25", *_steps(0.75, 1.25, 0.25)),
    scaled("not at all", 1.0),
    mirrored("pictures are never mirrored, half of the reference's are", share=0.0),
    mirrored("all pictures are mirrored, half of the reference's are", share=1.0),
    mirrored("pixels are mirrored, their labels are not", name=WITHOUT_LABELS, flips=(1, None)),
    mirrored("labels are mirrored, their pixels are not", name=WITHOUT_LABELS, flips=(None, 1)),
    mirrored("pixels are mirrored left to right, their labels top to bottom", name=WITHOUT_LABELS, flips=(1, 0)),
    mirrored("pixels are mirrored once more than their labels", name=WITHOUT_LABELS, mirrors_again=True),
    mirrored("pictures are mirrored top to bottom, the reference's left to right", flips=(0, 0)),
    _placed("place of the crop", "the crop is from the middle", "crop at random", crop_place="middle"),
    _placed("place of the crop", "the crop is from the upper left", "crop at random", crop_place="first"),
    _placed("place of padding", "small pictures are padded on all sides", "pad below, right", picture_place="middle"),
    _placed("place of padding", "small pictures are padded above and left", "pad below, right", picture_place="last"),
    padded("0 before normalisation", pad_before_normalising(0.0)),
    padded("127.5 before normalisation", pad_before_normalising(127.5)),
    padded("255 before normalisation", pad_before_normalising(255.0)),
    _labelled(
        "padding learnt", "padded pixels are labelled 0, the reference's are ignored", "pad by 255", padding_label=0
    ),
    _labelled(
        "train ids", "labels are the files' own ids, no train ids", "map ids to train ids", relabel=_raw(most=254)
    ),
    _labelled(
        "train ids",
        "labels are the files' own ids, those above 18 ignored, no train ids",
        "map ids to train ids",
        relabel=_raw(most=NUM_CLASSES - 1),
    ),
    _labelled(
        "labels shifted",
        "labels are one less, and class 0 is ignored",
        "leave train ids as they are",
        relabel=lambda labels: np.where((labels == 0) | (labels == IGNORED), IGNORED, labels - 1),
    ),
    _labelled(
        "void learnt",
        "pixels labelled 255 are labelled 0",
        "leave 255 as it is",
        relabel=lambda labels: np.where(labels == IGNORED, 0, labels),
    ),
    _labelled(
        "labels interpolated", "labels are resized bilinear", "resize labels by nearest", interpolates_labels=True
    ),
)
