"""Which pixels are hard: the cases of the official rule, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recipe.ohem import Mining

Array = np.ndarray[Any, Any]


def make_case(seed: int = 0, size: int = 64, classes: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((1, classes, size, size))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = rng.integers(0, classes, (1, size, size))
    labels[rng.random(labels.shape) < 0.1] = 255
    return probabilities, labels


def own(probabilities: Array, labels: Array) -> Array:
    return np.take_along_axis(probabilities, np.where(labels == 255, 0, labels)[:, None], 1)[:, 0]


def test_all_are_kept_where_the_map_has_too_few() -> None:
    probabilities, labels = make_case()
    mining = Mining(threshold=0.1, min_kept=64 * 64)
    assert mining.find_threshold(probabilities, labels, ignore_index=255) == 1.0
    assert np.array_equal(mining.select(probabilities, labels, ignore_index=255), labels)


def test_the_threshold_alone_decides_where_no_pixels_must_be_kept() -> None:
    probabilities, labels = make_case()
    kept = Mining(threshold=0.25, min_kept=63).select(probabilities, labels, ignore_index=255) != 255
    assert np.array_equal(kept, (labels != 255) & (own(probabilities, labels) <= 0.25))


def test_a_pixel_at_the_threshold_is_kept() -> None:
    probabilities, labels = np.full((1, 2, 16, 16), 0.5), np.zeros((1, 16, 16), np.int64)
    mining = Mining(threshold=0.5, min_kept=0)
    assert (mining.select(probabilities, labels, ignore_index=255) == 0).all()
    below = Mining(threshold=0.5, min_kept=0, inclusive=False)
    assert (below.select(probabilities, labels, ignore_index=255) == 255).all()


def test_the_threshold_is_found_on_the_subsampled_map() -> None:
    probabilities, labels = make_case()
    coarse, fine = Mining(threshold=0.01, min_kept=1024), Mining(threshold=0.01, min_kept=1024, factor=1)
    thresholds = [mining.find_threshold(probabilities, labels, ignore_index=255) for mining in (coarse, fine)]
    assert thresholds[0] != thresholds[1]
    assert thresholds[1] == np.sort(own(probabilities, labels)[labels != 255])[1023]


@given(seed=st.integers(0, 50), threshold=st.floats(0.0, 1.0), min_kept=st.integers(0, 5000))
def test_no_label_is_made_up(seed: int, threshold: float, min_kept: int) -> None:
    probabilities, labels = make_case(seed, size=24)
    mining = Mining(threshold=threshold, min_kept=min_kept)
    kept = mining.select(probabilities, labels, ignore_index=255)
    assert np.array_equal(kept[kept != 255], labels[kept != 255])
    hardest = own(probabilities, labels)[kept != 255]
    assert hardest.size == 0 or hardest.max() <= mining.find_threshold(probabilities, labels, ignore_index=255)
