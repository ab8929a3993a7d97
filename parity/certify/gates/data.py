"""Gate "training data": augmented batches from one random stream, or distributions where the streams are two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from converter.names import count
from parity.certify.augmentations import compare_draws
from parity.certify.causes.charts import explain_charts
from parity.certify.causes.engine import Asked, distance, explain
from parity.certify.causes.training_data import is_official, propose_samples
from parity.certify.gate import Check, Evidence, NotRunError
from parity.certify.limits import EXACT, EXACT_REASON, VALUE
from parity.certify.parts.loaders import PATIENCE, ChartSource, RecipeSource, Source
from parity.certify.sides import Side
from parity.certify.subject import Subject, decoded
from parity.verdicts.found import Found
from recipe.augmentation import Augmentation
from recipe.dataset import TrainingSet

Array = np.ndarray[Any, Any]
Batch = tuple[Array, Array]

PICTURES, BATCH = 16, 2
COMPARED_BATCHES = 16
FEWEST = 30
"""Charts that must be read for a distribution to say anything."""


def run(subject: Subject) -> Evidence:
    """The toolkit's loaders value by value; a port's own by what it does to charts."""
    source = subject.port_kit["loader"].run
    return _values(subject) if source is None else _charts(subject, source)


def load(subject: Subject, side: Side, count: int, crop: tuple[int, int]) -> Iterator[Batch]:
    """Batches as the toolkit's loader of `side`'s framework gives them, as arrays."""
    for images, labels in side.loader(_training_set(subject, side.augmentation(crop), count), batch=BATCH):
        yield side.array(images), side.array(labels)


def _training_set(subject: Subject, augmentation: Augmentation, batches: int) -> TrainingSet:
    samples = subject.samples("train", PICTURES)
    return TrainingSet(samples, decoded, augmentation, length=batches * BATCH, seed=subject.seed)


def _values(subject: Subject) -> Evidence:
    sides = subject.torch("float32", layers=False), subject.paddle("float32", layers=False)
    # As large as the pictures: scaled down they are padded, scaled up they are cropped.
    crop = decoded(subject.samples("train", 1)[0])[1].shape
    expected_batches, actual_batches = (load(subject, side, COMPARED_BATCHES, (crop[0], crop[1])) for side in sides)
    counts = {"images": 0, "labels": 0}
    ignored, asked = [], list[Asked]()
    for expected, actual in zip(expected_batches, actual_batches, strict=True):
        for name, left, right in zip(counts, expected, actual, strict=True):
            same = left.shape == right.shape and left.dtype == right.dtype
            counts[name] += int((left != right).sum()) if same else left.size
        for number in range(BATCH):
            own, wanted = (
                {"images": images[number], "labels": labels[number]} for images, labels in (actual, expected)
            )
            asked.append(Asked(len(asked), own, wanted, VALUE, f"sample {len(asked)}"))
        ignored.append(float((expected[1] == 255).mean()))
    checks = [
        Check(name=f"values of {name} that differ", measured=count, limit=EXACT, reason=EXACT_REASON)
        for name, count in counts.items()
    ]

    def explain_why() -> Found:
        first = sorted(asked, key=lambda one: distance(one.actual, one.expected) <= VALUE)

        def give(augmentation: Augmentation, number: int) -> Batch:
            return _training_set(subject, augmentation, COMPARED_BATCHES)[number]

        recipe = sides[0].augmentation((crop[0], crop[1]))
        return explain(first, propose_samples(recipe, give)) if is_official(recipe) else Found()

    remarks = [f"{len(ignored)} batches of {BATCH}, {np.mean(ignored):.1%} ignored"]
    return Evidence(checks=checks, remarks=remarks, explain=explain_why)


def _charts(subject: Subject, source: Source) -> Evidence:
    side = subject.torch("float32", layers=False)
    recipe = side.augmentation()
    recipe = replace(recipe, crop=(-(-recipe.crop[0] // source.shrunk), -(-recipe.crop[1] // source.shrunk)))
    own = subject.reference_kit["loader"].run
    reference: ChartSource = own or RecipeSource(recipe, source.size, source.most, seed=subject.seed)
    port = source.draws(subject.folder)
    actual, lost = port.draws, port.lost

    def explain_why() -> Found:
        is_known = own is None and is_official(recipe)
        return explain_charts(port, source, recipe, seed=subject.seed) if is_known else Found()

    if len(actual) < FEWEST and not lost:
        raise NotRunError(
            f"{count(len(actual), 'chart')} in {PATIENCE:g} seconds: too few to say anything, the loader is slow"
        )
    if len(actual) < FEWEST:
        reason = "a chart of which fewer than two borders are seen, or whose labels are not its own, says nothing"
        detail = f"{len(actual)} of {len(actual) + lost} charts can be read"
        check = Check(name="charts lost", measured=lost, limit=EXACT, reason=reason, detail=detail)
        return Evidence(checks=[check], explain=explain_why)
    expected = reference.draws(subject.folder).draws
    facts = [f"{name} {value}" for name, value in subject.port_kit["loader"].facts.items()]
    remarks = [f"{len(actual)} draws of the port's, {len(expected)} of the reference's", *facts]
    return Evidence(
        checks=[*compare_draws(actual, expected, side.preprocess), *_batch(subject)],
        remarks=remarks,
        explain=explain_why,
    )


def _batch(subject: Subject) -> list[Check]:
    """Of a config, which says the pictures of a step on one device, and not on how many."""
    own, whole = subject.port_kit["loader"].facts.get("batch"), subject.recipe.batch
    if own is None:
        return []
    detail = f"the port's {own} pictures a device are no share of the reference's {whole} pictures a step"
    reason = "some number of devices must give the reference's batch"
    return [Check(name="batch", measured=whole % own if own > 0 else whole, limit=EXACT, reason=reason, detail=detail)]
