"""Why a loader with a stream of its own treats charts otherwise: the recipe's augmentation with mistakes in it.

What charts show exactly is read off: crop, labels, normalisation, values of padding. Scales, mirroring and places are
tried one after the other: the gate's own tests must pass with the altered augmentation in the reference's place, on
smaller charts, which it treats alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cityscapes.labels import IGNORED, NUM_CLASSES, PALETTE
from parity.certify.augmentations import compare_altered, is_coloured
from parity.certify.causes.altered import (
    MISTAKES,
    WITHOUT_LABELS,
    Mistake,
    cropped,
    drawn_between,
    mirrored,
    padded,
    scaled,
)
from parity.certify.causes.engine import Array
from parity.certify.causes.training_data import alter, list_pixels
from parity.certify.charts import Draw, Drawn
from parity.certify.gate import Check
from parity.certify.parts.loaders import FULL_SIZE, ChartSource, RecipeSource
from parity.verdicts.found import Found
from parity.verdicts.report import Cause
from recipe.augmentation import Augmentation

Chosen = tuple[Mistake, ...]

SHRINK = 4
"""By how much charts of full size are made smaller."""
DRAWS = 200
"""Charts that hypotheses are tried on."""
CHANCE = 4.5
"""Standard errors: fewer than the gate's, since fewer charts are looked at, and a cause is no accusation."""
COLOURED = 0.2
"""Share of charts with the colours of a normalisation that make it the port's; the others are mislabelled."""
NEAR = 1e-3
"""Of the range of values: two values of padding that are one."""
STEPS = 20
"""Scales that are read off are given in twentieths."""
FEW = 8
"""Scales that make a list."""
TESTS = {"scales": "scale", "mirroring": "share", "place": "place"}
"""Aspect -> what the names of its checks have in them."""
FACTS = 4
"""Checks that are told where none explains them."""


def explain_charts(port: Drawn, source: ChartSource, own: Augmentation, *, seed: int) -> Found:
    """What the reference's augmentation, with the gate's crop, would have to be to treat charts as the port does."""
    search = _Search(port, source, own, seed)
    chosen: Chosen = ()
    failed: Sequence[Check] = ()
    for exact in search.read():
        chosen, failed = search.draw(exact)
        if chosen and not failed:
            names, texts, fixes = (
                [getattr(one.told(own), field) for one in chosen] for field in ("name", "text", "fix")
            )
            cause = Cause(name=" and ".join(names), text="; ".join(texts), fix="; ".join(fixes), proved=True)
            return Found(cause, search.tried)
    passing = (f"{one.told(own).text}, by the tests of {one.aspect} alone" for one in chosen)
    return Found(None, search.tried, (*passing, *(f"{check.name}: {check.detail}" for check in failed[:FACTS])))


class _Search:
    """Of mistakes under which the recipe's augmentation does what the port's does; `tried` counts them."""

    def __init__(self, port: Drawn, source: ChartSource, own: Augmentation, seed: int) -> None:
        by = SHRINK if source.size == FULL_SIZE else 1
        self._size = source.size[0] // by, source.size[1] // by
        self._own, self._seed, self.tried = replace(own, crop=_shrink(own.crop, by)), seed, 0
        self._crops = [own.crop, *{draw.crop for draw in port.draws}]
        self._shrunk = source.shrunk
        draws = [
            replace(draw, start=draw.start / by, extent=draw.extent / by, crop=_shrink(draw.crop, by))
            for draw in port.draws
        ]
        self._port = replace(port, draws=draws[: _period(draws)])

    def read(self) -> Iterator[Chosen]:
        """What charts show exactly, with nothing and with each mistake in labels that gives the labels seen."""
        crop = self._crop()
        seen = self._port.labels
        for labels in ((), *((one,) for one in MISTAKES if one.aspect == "labels")):
            altered = alter(self._own, *labels)
            self.tried += 1
            read = [altered.read_label(number) for number in range(NUM_CLASSES)]
            is_other = (*read, altered.padding_label) != (*range(NUM_CLASSES), IGNORED)
            if is_other == bool(labels) and seen in ({*read, altered.padding_label}, {*read} - {IGNORED}):
                chosen = (*crop, *labels, *self._pixels(labels))
                yield (*chosen, *self._padding(chosen))

    def _crop(self) -> Chosen:
        own, *others = self._crops
        if len(others) != 1 or others[0] == own:
            return ()
        where = f" of charts that are {self._shrunk} times smaller than pictures" if self._shrunk > 1 else ""
        text = f"crops are {_size(others[0])}{where}, the reference's {_size(own)}"
        return (cropped(text, self._port.draws[0].crop),)

    def _pixels(self, chosen: Chosen) -> Chosen:
        """The normalisation by which the most charts have the colours of their labels, if it is not the recipe's."""
        shares = {}
        for one in ((), *((pixels,) for pixels in list_pixels(self._own.preprocessing))):
            self.tried += 1
            colours = self._colours((*chosen, *one))
            shares[one] = np.mean([is_coloured(draw, colours) for draw in self._port.draws])
        best = max(shares, key=lambda one: shares[one])
        return best if shares[best] >= COLOURED and shares[()] < COLOURED else ()

    def _padding(self, chosen: Chosen) -> Chosen:
        """The values of padded pixels, where all are one and not the recipe's."""
        values = [draw.padding for draw in self._port.draws if draw.padding is not None]
        near = NEAR * float(np.ptp(self._colours(chosen)[~np.isnan(self._colours(chosen))]))
        if not values or np.abs(np.array(values) - values[0]).max() > near:
            return ()
        said = ", ".join(f"{value:.4g}" for value in values[0])
        for one in ((), *((m,) for m in MISTAKES if m.aspect == "padding"), (padded(said, lambda own: values[0]),)):
            self.tried += 1
            if np.abs(alter(self._own, *chosen, *one).padded - values[0]).max() <= near:
                return one
        return ()

    def draw(self, chosen: Chosen) -> tuple[Chosen, Sequence[Check]]:
        """`chosen` with what explains the other tests, and the checks that still fail."""
        failed = self._test(chosen)
        for aspect, word in TESTS.items():
            if not _concerns(word, failed):
                continue
            for level in self._propose(aspect, chosen):
                made = {one: self._test((*chosen, one)) for one in level}
                passing = [one for one in level if not _concerns(word, made[one])]
                if passing:
                    text = ", or ".join(dict.fromkeys(one.text for one in passing))
                    chosen, failed = (*chosen, replace(passing[0], text=text)), made[passing[0]]
                    break
            else:
                return chosen, failed
        return chosen, failed

    def _propose(self, aspect: str, chosen: Chosen) -> Iterator[list[Mistake]]:
        """Levels of mistakes of an aspect, without those that what is seen rules out."""
        if aspect == "mirroring":
            yield list(self._read_mirroring(chosen))
        elif aspect == "scales" and not _is_misread(chosen):
            yield from self._read_scales()
        else:
            yield [one for one in MISTAKES if one.aspect == aspect]

    def _read_scales(self) -> Iterator[list[Mistake]]:
        """The scales that are seen, where they are few; any between the least and the greatest, each as likely."""
        values = [draw.scale for draw in self._port.draws]
        few = sorted({round(value * STEPS) / STEPS for value in values})
        if len(few) <= FEW:
            said = f"by {few[0]:g} to {few[-1]:g}" if len(few) > 1 else f"by {few[0]:g}"
            yield [scaled("not at all" if few == [1.0] else said, *few)]
        ends = [
            (round_to(min(values)), round_to(max(values)))
            for round_to in (lambda value: round(value * STEPS) / STEPS, lambda value: float(f"{value:.3g}"))
        ]
        for least, most in ends:
            yield [scaled(f"by {least:g} to {most:g}", draw=drawn_between(least, most))]

    def _read_mirroring(self, chosen: Chosen) -> Iterator[Mistake]:
        colours = self._colours(chosen)
        is_mislabelled = not all(is_coloured(draw, colours) for draw in self._port.draws)
        columns = [draw.is_mirrored for draw in self._port.draws if draw.axis == 1]
        share = float(np.mean(columns)) if columns else 0.0
        for one in MISTAKES:
            is_seen = self._own.distortion is not None or (one.name == WITHOUT_LABELS) == is_mislabelled
            if one.aspect == "mirroring" and is_seen:
                yield one
        if 0 < share < 1 and not is_mislabelled:
            yield mirrored(f"about {share:.0%} of the pictures are mirrored, half of the reference's", share=share)

    def _test(self, chosen: Chosen) -> list[Check]:
        """The checks that fail with these mistakes in the reference's augmentation."""
        self.tried += 1
        source = RecipeSource(alter(self._own, *chosen), self._size, DRAWS, seed=self._seed)
        made = source.draws(Path())
        try:
            checks = compare_altered(self._port, made, self._colours(chosen))
        except ValueError:  # of distributions of nothing
            return [Check(name=word, measured=math.inf, limit=0.0, reason="") for word in TESTS.values()]
        spared = {
            "least scale": _is_misread(chosen) or _has("scales", chosen),  # read off, or of misread charts
            "greatest scale": _is_misread(chosen) or _has("scales", chosen),
            "scale that the reference never draws": _is_misread(chosen) or any("scale" in m.settings for m in chosen),
            "place of small pictures": _is_misread(chosen),
            "values of padding": _is_misread(chosen) or any(one.name == WITHOUT_LABELS for one in chosen),
        }
        return [
            check
            for check in checks
            if not spared.get(check.name, False) and not check.measured <= min(check.limit, CHANCE)
        ]

    def _colours(self, chosen: Chosen) -> Array:
        """(19, C): what becomes of the colour of the class that is labelled so; NaN where none is."""
        altered = alter(self._own, *chosen)
        values = altered.normalise_pixels(PALETTE[:NUM_CLASSES][None])[:, 0].T
        found = np.full(values.shape, np.nan)
        for number in range(NUM_CLASSES):
            label = altered.read_label(number)
            if label < NUM_CLASSES:
                found[label] = values[number]
        return found


def _concerns(word: str, checks: Sequence[Check]) -> bool:
    return any(word in check.name for check in checks)


def _has(aspect: str, chosen: Chosen) -> bool:
    return any(one.aspect == aspect for one in chosen)


def _is_misread(chosen: Chosen) -> bool:
    """Whether stripes have other labels than their own: borders are few then, and not where they are expected."""
    return any("relabel" in one.settings for one in chosen)


def _period(draws: Sequence[Draw]) -> int:
    """After how many draws a loader draws the same again; all of them, where it does not."""
    keys = [(draw.axis, draw.scale, draw.start, draw.is_mirrored) for draw in draws]
    return next((n for n in range(1, len(keys) // 2) if keys[n:] == keys[:-n]), len(keys))


def _size(crop: tuple[int, int]) -> str:
    return "×".join(map(str, crop))


def _shrink(crop: tuple[int, int], by: int) -> tuple[int, int]:
    return -(-crop[0] // by), -(-crop[1] // by)
