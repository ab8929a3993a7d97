"""Mistakes in preprocessing: channels, mean, deviation and scale, taken otherwise than the family's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from families import Preprocessing
from parity.certify.causes.engine import Array, Hypothesis

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of RGB pixels between 0 and 1, torchvision's."""
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""What PaddleSeg's `Normalize` takes unless told otherwise."""


@dataclass(frozen=True)
class Normalisation:
    """A mistake: `make` is what is made of RGB pixels (H, W, 3) -> (3, H, W)."""

    name: str
    text: str
    fix: str
    make: Callable[[Array], Array]


def propose_pixels(pixels: Mapping[str, Array], family: Preprocessing) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in what is made of `pixels`, RGB (H, W, 3) uint8, by name."""

    def hypothesis(one: Normalisation) -> Hypothesis:
        return Hypothesis(
            name=one.name, text=one.text, fix=one.fix, repeat=lambda key: {"values": one.make(pixels[key])}
        )

    for level in list_normalisations(family):
        yield map(hypothesis, level)


def list_normalisations(family: Preprocessing) -> Iterator[Iterator[Normalisation]]:
    """Levels of mistakes in normalising: the family's numbers taken otherwise; other numbers."""
    mean, deviation = np.array(family.mean), np.array(family.deviation)
    ours = f"({family.channel_order} - {family.mean}) / {family.deviation}"

    def mistake(name: str, text: str, make: Callable[[Array], Array]) -> Normalisation:
        def of_rgb(pixels: Array) -> Array:
            ordered = pixels[..., ::-1] if family.channel_order == "BGR" else pixels
            return np.asarray(make(ordered.astype(np.float64)).transpose(2, 0, 1))

        return Normalisation(name, text, f"{ours}, channels first", of_rgb)

    def other(values: Array) -> Array:
        return values[..., ::-1]

    yield iter(
        [
            mistake(
                "channel order",
                f"channels are in the other order, the mean is not; they are to be {family.channel_order}",
                lambda one: (other(one) - mean) / deviation,
            ),
            mistake(
                "channel order",
                "channels, mean and deviation are all in the other order",
                lambda one: other((one - mean) / deviation),
            ),
            mistake(
                "order of the mean",
                "mean and deviation are in the other order of channels than the pixels",
                lambda one: (one - mean[::-1]) / deviation[::-1],
            ),
            mistake("mean", "no mean is taken off", lambda one: one / deviation),
            mistake("deviation", "nothing is divided by the deviation", lambda one: one - mean),
            mistake("scale", "the result is divided by 255", lambda one: (one - mean) / deviation / 255),
            mistake("scale", "pixels are divided by 255 first", lambda one: (one / 255 - mean) / deviation),
            mistake("scale", "pixels are not scaled nor their mean taken off", lambda one: one),
            mistake("scale", "pixels are divided by 255 and no more", lambda one: one / 255),
            mistake("order of operations", "divided before the mean is taken off", lambda one: one / deviation - mean),
        ]
    )
    yield (
        mistake(
            "normalisation",
            f"pixels are normalised by {name}, channels in {'the other' if swapped else 'the same'} order",
            _normalise(values, swapped=swapped),
        )
        for (name, values), swapped in product(
            {"ImageNet's mean and deviation of RGB / 255": IMAGENET, "0.5 and 0.5 of pixels / 255": HALF}.items(),
            (False, True),
        )
    )


def _normalise(values: tuple[tuple[float, ...], tuple[float, ...]], *, swapped: bool) -> Callable[[Array], Array]:
    mean, deviation = map(np.array, values)
    return lambda one: ((one[..., ::-1] if swapped else one) / 255 - mean) / deviation
