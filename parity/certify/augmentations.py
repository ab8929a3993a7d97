"""Augmentations of both sides, by what each does to the same charts: distributions of draws, and exact parts."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import stats

from cityscapes.labels import PALETTE
from parity.certify.charts import Draw, Drawn
from parity.certify.gate import Check
from parity.certify.limits import DISTRIBUTION, DISTRIBUTION_REASON, EXACT, EXACT_REASON

Array = np.ndarray[Any, Any]

SCALE, SCALE_REASON = 0.03, "of the scale: a border of stripes is seen to half a pixel"
LIST = 60
"""Hundredths: a list of scales has fewer, as measured; drawn from a range there are more."""
UNLIKELY = 9.2
"""-ln(1e-4): the least of N numbers from a range of 1 is above this / N once in ten thousand times."""
RANGE_REASON = "; and what chance leaves between the end of a range and the nearest draw"
PLACE, PLACE_REASON = 2.0, "pixels: a border of stripes is seen to half a pixel, and sizes are rounded either way"
LEVEL, LEVEL_REASON = 0.02, "of the range of values: half a level is 0.002, an edge that a resize mixes a little more"
FEWEST_VALUES = 30
"""Of a colour, for its distribution to say anything."""
RARE = 0.01
"""Of charts: a kind that the reference never gives is chance up to this share."""
JITTER = 0.05
"""Width by which scales are blurred before distributions are compared: two as good as equal are then equal."""


def compare_draws(
    actual: Sequence[Draw], expected: Sequence[Draw], preprocess: Callable[[Array], Array]
) -> list[Check]:
    """Scale, mirroring, place, crop and values of the port's draws (`actual`) against the reference's.

    `preprocess` is the reference's: pixels (H, W, 3) uint8 -> (3, H, W); its range is the scale of values.
    """
    scale = float(np.ptp(preprocess(PALETTE[:19][None])))
    return [
        _crop(actual, expected),
        *_scales(actual, expected),
        _mirrored(actual, expected),
        _mirrored(actual, expected, axis=0),
        *_places(actual, expected),
        _values("values", _colours(actual), _colours(expected), scale, _stripe),
        *_padding(actual, expected, scale),
        _level("pixels that vary within a stripe", max(draw.uneven for draw in actual) / scale, ""),
        Check(
            name="labels beside their stripe",
            measured=max(draw.crooked for draw in actual),
            limit=EXACT,
            reason="a picture that is scaled, cropped and mirrored keeps its stripes straight",
        ),
        Check(
            name="labels that are no class",
            measured=sum(draw.strangers for draw in actual),
            limit=EXACT,
            reason=EXACT_REASON,
        ),
    ]


def compare_altered(actual: Drawn, made: Drawn, colours: Array) -> list[Check]:
    """The same tests against the reference's augmentation with mistakes in it, which may mislabel its own pixels.

    In place of every stripe's value, how often a picture's stripes have not the `colours` (19, C) of their labels is
    compared: of each axis, mirrored or not, padded or not.
    """
    return [
        _crop(actual.draws, made.draws),
        *_scales(actual.draws, made.draws),
        *([_mirrored(actual.draws, made.draws)] if _have_columns(actual, made) else []),
        *_shares(_histogram(actual, colours), _histogram(made, colours)),
        *_places(actual.draws, made.draws),
        *_padding(actual.draws, made.draws, float(np.nanmax(colours) - np.nanmin(colours))),
    ]


def _have_columns(*drawn: Drawn) -> bool:
    return all(any(draw.axis == 1 for draw in one.draws) for one in drawn)


def is_coloured(draw: Draw, colours: Array) -> bool:
    """Whether the stripes that are seen have these colours."""
    with np.errstate(invalid="ignore"):
        return not bool((np.abs(draw.colours - colours) > LEVEL * (np.nanmax(colours) - np.nanmin(colours))).any())


def _histogram(drawn: Drawn, colours: Array) -> Counter[str]:
    """How many charts are of each kind."""
    found = Counter(
        f"{'rows' if draw.axis == 0 else 'columns'}{', mirrored' * draw.is_mirrored}"
        f"{', padded' * (draw.padding is not None)}{', other colours' * (not is_coloured(draw, colours))}"
        for draw in drawn.draws
    )
    return found + Counter({"unreadable": drawn.lost})


def _shares(own: Counter[str], wanted: Counter[str]) -> Iterator[Check]:
    totals = own.total(), wanted.total()
    for kind in sorted({*own, *wanted}):
        shares = own[kind] / totals[0], wanted[kind] / totals[1]
        score = math.inf
        if shares[1] or shares[0] <= RARE:
            share = (own[kind] + wanted[kind]) / sum(totals)
            score = abs(shares[0] - shares[1]) / math.sqrt(max(share * (1 - share), 1e-12) * sum(1 / n for n in totals))
        detail = f"the port's {shares[0]:.1%}, the reference's {shares[1]:.1%}"
        yield _chance(f"share of {kind} (binomial)", score, detail)


def _crop(actual: Sequence[Draw], expected: Sequence[Draw]) -> Check:
    own, wanted = ({draw.crop for draw in draws} for draws in (actual, expected))
    detail = f"the port's {_listed(own)}, the reference's {_listed(wanted)}"
    return Check(name="sizes that differ", measured=len(own ^ wanted), limit=EXACT, reason=EXACT_REASON, detail=detail)


def _listed(sizes: set[tuple[int, int]]) -> str:
    return ", ".join("×".join(map(str, size)) for size in sorted(sizes)[:3])


def _scales(actual: Sequence[Draw], expected: Sequence[Draw]) -> list[Check]:
    own, wanted = (np.array([draw.scale for draw in draws]) for draws in (actual, expected))
    is_range = len(np.unique(wanted.round(2))) > LIST
    chance = UNLIKELY * float(np.ptp(wanted)) / min(len(own), len(wanted)) if is_range else 0.0
    detail = f"the port's {own.min():.3g} to {own.max():.3g}, the reference's {wanted.min():.3g} to {wanted.max():.3g}"
    ends = [
        Check(
            name=f"{name} scale",
            measured=abs(float(end(own)) / float(end(wanted)) - 1),
            limit=SCALE + chance / float(end(wanted)),
            reason=SCALE_REASON + RANGE_REASON * is_range,
            detail=detail,
        )
        for name, end in (("least", np.min), ("greatest", np.max))
    ]
    nearest = np.clip(own, wanted.min(), wanted.max())
    if not is_range:
        nearest = wanted[np.abs(own[:, None] - wanted[None]).argmin(1)]
    away = np.abs(own - nearest) / own
    between = Check(
        name="scale that the reference never draws",
        measured=float(away.max()),
        limit=SCALE + chance / float(wanted.min()),
        reason=SCALE_REASON + RANGE_REASON * is_range,
        detail=f"the port's {own[away.argmax()]:.3g}, the reference's nearest {nearest[away.argmax()]:.3g}",
    )
    rng = np.random.default_rng(0)
    blurred = [values + rng.uniform(-JITTER, JITTER, len(values)) for values in (own, wanted)]
    mean = f"means {own.mean():.3f} and {wanted.mean():.3f}, {len(own)} and {len(wanted)} draws"
    return [*ends, between, _chance("distribution of scales (Kolmogorov-Smirnov)", _deviate(*blurred), mean)]


def _mirrored(actual: Sequence[Draw], expected: Sequence[Draw], *, axis: int = 1) -> Check:
    name = f"share that is {('upside down', 'mirrored')[axis]} (binomial)"
    # A chart of rows shows no mirroring of columns, nor one of columns what is upside down.
    own, wanted = ([draw.is_mirrored for draw in draws if draw.axis == axis] for draws in (actual, expected))
    if not own or not wanted:
        return _chance(name, 0.0, "no chart shows it")
    shares = float(np.mean(own)), float(np.mean(wanted))
    share = (sum(own) + sum(wanted)) / (len(own) + len(wanted))
    error = math.sqrt(max(share * (1 - share), 1e-12) * (1 / len(own) + 1 / len(wanted)))
    detail = f"the port's {shares[0]:.1%}, the reference's {shares[1]:.1%}"
    return _chance(name, abs(shares[0] - shares[1]) / error, detail)


def _places(actual: Sequence[Draw], expected: Sequence[Draw]) -> list[Check]:
    cropped, padded = [], []
    for draws in (actual, expected):
        rooms = [(draw.extent - draw.crop[draw.axis], draw) for draw in draws]
        cropped.append(np.array([draw.start / room for room, draw in rooms if room > 4 * PLACE]))
        padded.append(np.array([-draw.start for room, draw in rooms if room < -PLACE]))
    checks = []
    if min(map(len, cropped)) > 1:
        detail = f"means {cropped[0].mean():.3f} and {cropped[1].mean():.3f} of the room"
        checks.append(_chance("place of the crop (Kolmogorov-Smirnov)", _deviate(*cropped), detail))
    if min(map(len, padded)):
        own, wanted = (float(np.median(places)) for places in padded)
        farthest = float(np.abs(padded[0] - wanted).max())
        detail = f"{own:.1f} pixels before a small picture, {wanted:.1f} by the reference"
        checks.append(
            Check(name="place of small pictures", measured=farthest, limit=PLACE, reason=PLACE_REASON, detail=detail)
        )
    return checks


def _values(name: str, actual: Array, expected: Array, scale: float, what: Callable[[int], str]) -> Check:
    """Values (draws, K, C) of K colours: equal to the reference's or, where those are drawn, of their distribution."""
    if actual.shape[1:] != expected.shape[1:]:
        return _level(name, math.inf, f"{actual.shape[2]} channels, the reference's {expected.shape[2]}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a colour that no draw shows
        middle = np.nanmedian(expected, 0)
        distances = np.nanmax(np.abs(actual - middle), 0) / scale
        varies = np.nanmax(np.abs(expected - middle)) > 2 * LEVEL * scale
    if varies:
        return _distribution(name, actual, expected, scale, what)
    if np.isnan(distances).all():
        return _level(name, 0.0, "")
    worst = np.unravel_index(int(np.nanargmax(distances)), distances.shape)
    own, wanted = actual[:, worst[0], worst[1]], middle[worst]
    farthest = own[int(np.nanargmax(np.abs(own - wanted)))]
    detail = f"{what(int(worst[0]))}channel {worst[1]}: {farthest:.4g}, the reference's {wanted:.4g}"
    return _level(name, float(distances[worst]), detail)


def _distribution(name: str, actual: Array, expected: Array, scale: float, what: Callable[[int], str]) -> Check:
    """The colour and channel whose values are distributed most unlike the reference's."""
    rng = np.random.default_rng(0)
    worst, detail = 0.0, ""
    for colour, channel in np.ndindex(*expected.shape[1:]):
        own, wanted = (side[~np.isnan(side[:, colour, channel]), colour, channel] for side in (actual, expected))
        if min(len(own), len(wanted)) < FEWEST_VALUES:
            continue
        score = _deviate(*(values + rng.uniform(-LEVEL, LEVEL, len(values)) * scale for values in (own, wanted)))
        if score >= worst:
            spreads = [f"{values.mean():.4g} ± {values.std():.2g}" for values in (own, wanted)]
            worst, detail = score, f"{what(colour)}channel {channel}: {spreads[0]}, the reference's {spreads[1]}"
    return _chance(f"distribution of {name} (Kolmogorov-Smirnov)", worst, detail)


def _colours(draws: Sequence[Draw]) -> Array:
    """(draws, 19, C)."""
    return np.array([draw.colours for draw in draws])


def _stripe(number: int) -> str:
    return f"RGB {tuple(int(value) for value in PALETTE[number])}, "


def _padding(actual: Sequence[Draw], expected: Sequence[Draw], scale: float) -> list[Check]:
    own, wanted = (
        np.array([[draw.padding] for draw in draws if draw.padding is not None]) for draws in (actual, expected)
    )
    if not len(own) or not len(wanted):
        return []
    return [_values("values of padding", own, wanted, scale, lambda _: "")]


def _deviate(left: Array, right: Array) -> float:
    """Kolmogorov and Smirnov's distance as the deviate of a normal distribution that chance reaches as seldom."""
    chance = float(stats.ks_2samp(left, right, method="asymp").pvalue)
    return float(stats.norm.isf(max(chance, 1e-300) / 2))


def _chance(name: str, score: float, detail: str) -> Check:
    return Check(name=name, measured=score, limit=DISTRIBUTION, reason=DISTRIBUTION_REASON, detail=detail)


def _level(name: str, measured: float, detail: str) -> Check:
    return Check(name=name, measured=measured, limit=LEVEL, reason=LEVEL_REASON, detail=detail)
