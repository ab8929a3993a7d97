"""Why training data are others: the recipe's augmentation with each known mistake, against what a loader gives.

Where both loaders draw from one stream, pictures are compared bit for bit. Of a loader with a stream of its own, charts
are: the gate's own tests must pass with the altered augmentation in the reference's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, combinations

from families import Preprocessing
from parity.certify.causes.altered import MISTAKES, Altered, Mistake
from parity.certify.causes.engine import Array, Hypothesis, Numbers
from parity.certify.causes.pixels import list_normalisations
from recipe.augmentation import Augmentation

Give = Callable[[Augmentation, int], tuple[Array, Array]]
"""The image and labels of a sample's number, by an augmentation."""


def is_official(own: Augmentation) -> bool:
    """Whether it is the augmentation that mistakes are known of: the official one, by whatever normalisation."""
    return own == Augmentation(preprocessing=own.preprocessing, crop=own.crop)


def alter(own: Augmentation, *mistakes: Mistake) -> Altered:
    """The augmentation with these mistakes in it."""
    settings = {name: value for mistake in mistakes for name, value in mistake.settings.items()}
    return Altered(**{**vars(own), **settings})


def propose_samples(own: Augmentation, give: Give) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in samples, the cases' keys: one; two of different aspects."""

    def hypothesis(*mistakes: Mistake) -> Hypothesis:
        altered = alter(own, *mistakes)

        def repeat(number: int) -> Numbers:
            image, labels = give(altered, number)
            return {"images": image, "labels": labels}

        name, text, fix = (
            join.join(getattr(one.told(own), field) for one in mistakes)
            for field, join in {"name": " and ", "text": "; and ", "fix": "; "}.items()
        )
        return Hypothesis(name=name, text=text, fix=fix, repeat=repeat)

    yield map(hypothesis, (*list_pixels(own.preprocessing), *MISTAKES))
    yield (hypothesis(*pair) for pair in combinations(MISTAKES, 2) if pair[0].aspect != pair[1].aspect)


def list_pixels(preprocessing: Preprocessing) -> Iterator[Mistake]:
    """Other normalisations, as mistakes in validation data are."""
    for one in chain.from_iterable(list_normalisations(preprocessing)):
        yield Mistake(aspect="pixels", name=one.name, text=one.text, fix=one.fix, settings={"normalise": one.make})
