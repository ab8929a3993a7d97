"""The official augmentation: against OpenCV, at its edges, and one stream for both frameworks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import models_paddle.data
import models_torch.data
from families import get_family
from recipe.augmentation import SCALES, Augmentation, Between, resize_labels, resize_pixels
from recipe.dataset import TrainingSet
from recipe.distortion import Distortion, PhotometricDistortion

Array = np.ndarray[Any, Any]
PREPROCESSING = get_family("official").preprocessing


def make_sample(seed: int = 0, size: tuple[int, int] = (40, 56)) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return pixels, rng.integers(0, 19, size, dtype=np.uint8)


def make_set(length: int = 7, seed: int = 0) -> TrainingSet:
    augmentation = Augmentation(preprocessing=PREPROCESSING, crop=(33, 49))
    return TrainingSet([0, 1, 2], make_sample, augmentation, length=length, seed=seed)


@given(scale=st.sampled_from(SCALES), seed=st.integers(0, 20))
def test_resize_is_opencvs(scale: float, seed: int) -> None:
    pixels, labels = make_sample(seed)
    expected = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    expected_labels = cv2.resize(labels, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    rows, columns = (np.arange(round(side * scale)) for side in labels.shape)
    assert np.abs(resize_pixels(pixels, rows, columns, scale) - expected).max() <= 1
    assert np.array_equal(resize_labels(labels, rows, columns, scale), expected_labels)


def test_scales_are_the_official_ones() -> None:
    assert (len(SCALES), SCALES[0], SCALES[-1]) == (15, 0.7, pytest.approx(2.1))


@given(seed=st.integers(0, 200))
def test_padding_is_ignored_and_pixels_follow_labels(seed: int) -> None:
    """Labels that are the pixels: whatever scale, crop and mirror do, they do it to both."""
    labels = np.full((40, 56), 7, np.uint8)
    pixels = np.repeat(labels[..., None], 3, 2)
    plain = replace(PREPROCESSING, mean=(0.0, 0.0, 0.0))
    augmentation = Augmentation(preprocessing=plain, crop=(64, 96))
    image, target = augmentation(pixels, labels, np.random.default_rng(seed))
    assert image.shape == (3, 64, 96)
    assert (image.dtype, target.dtype) == (np.float32, np.int64)
    assert set(np.unique(target)) <= {7, 255}
    assert np.array_equal(image, np.repeat(np.where(target == 255, 0, 7)[None], 3, 0))


def test_padding_is_zero_after_normalisation() -> None:
    pixels, labels = make_sample()
    augmentation = Augmentation(preprocessing=PREPROCESSING, crop=(100, 200), scales=(1.0,), mirror=False)
    image, target = augmentation(pixels, labels, np.random.default_rng(0))
    assert not image[:, 40:].any()
    assert not image[:, :, 56:].any()
    assert (target[40:] == 255).all()
    blue = pixels[..., 2].astype(np.float32) - np.float32(PREPROCESSING.mean[0])
    assert np.array_equal(image[0, :40, :56], blue)  # blue first, its mean subtracted


def test_padding_is_a_level_where_the_recipe_has_one() -> None:
    """Before the normalisation; then colours are changed, and padding with them."""
    pixels, labels = make_sample()
    settings = {"preprocessing": PREPROCESSING, "crop": (100, 200), "scales": (1.0,), "mirror": False, "padding": 127.5}
    image, _ = Augmentation(**settings)(pixels, labels, np.random.default_rng(0))
    assert np.allclose(image[:, 99, 199], 127.5 - np.float32(PREPROCESSING.mean))
    other, target = Augmentation(**settings, distortion=Distortion(chance=1.0))(
        pixels, labels, np.random.default_rng(0)
    )
    assert not np.allclose(other[:, 99, 199], image[:, 99, 199], atol=1)
    assert (target[40:] == 255).all()


def test_colours_change_by_chance() -> None:
    pixels, _ = make_sample()
    never, always = (Distortion(chance=chance) for chance in (0.0, 1.0))
    assert np.array_equal(never(pixels, np.random.default_rng(0)), pixels)
    made = [always(pixels, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    assert {one.shape for one in made} == {pixels.shape}
    assert made[0].dtype == np.uint8


def test_photometric_changes_are_small_and_by_chance() -> None:
    pixels = np.tile(np.array([[[100, 110, 120]]], np.uint8), (4, 4, 1))
    made = np.array([PhotometricDistortion()(pixels, np.random.default_rng(seed))[0, 0] for seed in range(400)])
    unchanged = (made == pixels[0, 0]).all(1).mean()
    assert 0.02 < unchanged < 0.12  # none of four that have even chances
    grey = made.mean(1)
    assert 30 < grey.min() < 60  # (110 - 32) / 2 is the darkest, (110 + 32) * 1.5 the brightest
    assert 180 < grey.max() < 214
    assert (made.min(1) == made[:, 0]).mean() > 0.98  # blue turned by 36 degrees at most: red stays the least


def test_any_scale_between_two() -> None:
    augmentation = Augmentation(preprocessing=PREPROCESSING, scales=Between(0.5, 2.0))
    scales = [augmentation.draw_scale(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.5 <= min(scales) < 0.52 < 1.98 < max(scales) <= 2.0
    assert np.mean(scales) == pytest.approx(1.25, abs=0.1)


def test_a_crop_that_one_class_fills_is_drawn_again() -> None:
    """A picture of one class but for a corner: few crops see two."""
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 44:] = 1
    pixels = np.zeros((64, 64, 3), np.uint8)
    settings = {"preprocessing": PREPROCESSING, "crop": (16, 16), "scales": (1.0,)}
    shares = []
    for most in (1.0, 0.75):
        augmentation = Augmentation(**settings, most_of_a_class=most)
        seen = [augmentation(pixels, labels, np.random.default_rng(seed))[1] for seed in range(60)]
        shares.append(np.mean([0.25 < target.mean() < 0.75 for target in seen]))
    assert shares[0] < 0.4
    assert shares[1] > 0.8


def test_everything_happens() -> None:
    pixels = np.zeros((40, 56, 3), np.uint8)
    labels = np.repeat(np.arange(56, dtype=np.uint8)[None], 40, 0)
    augmentation = Augmentation(preprocessing=PREPROCESSING, crop=(8, 8))
    rows = [augmentation(pixels, labels, np.random.default_rng(seed))[1][0] for seed in range(40)]
    directions = {int(np.sign(row[-1] - row[0])) for row in rows}
    assert directions == {-1, 1}
    assert len({tuple(row) for row in rows}) > 30


def test_a_set_is_a_function_of_its_seed() -> None:
    first, again, other = make_set(), make_set(), make_set(seed=1)
    for index in range(len(first)):
        assert all(map(np.array_equal, first[index], again[index]))
    assert not np.array_equal(first[0][0], other[0][0])
    assert not np.array_equal(first[0][0], first[3][0])
    with pytest.raises(IndexError):
        first[len(first)]


def test_every_sample_is_seen_before_one_is_seen_again() -> None:
    seen: list[int] = []

    def decode(sample: int) -> tuple[Array, Array]:
        seen.append(sample)
        return make_sample(sample)

    training_set = TrainingSet([0, 1, 2], decode, Augmentation(preprocessing=PREPROCESSING, crop=(8, 8)), length=9)
    for index in range(9):
        training_set[index]
    assert [sorted(seen[start : start + 3]) for start in (0, 3, 6)] == [[0, 1, 2]] * 3


def test_both_loaders_give_identical_batches() -> None:
    loaders = [module.make_loader(make_set(), batch=3) for module in (models_torch.data, models_paddle.data)]
    batches = [[[part.numpy() for part in batch] for batch in loader] for loader in loaders]
    assert [len(found) for found in batches] == [2, 2]
    for ours, theirs in zip(*batches, strict=True):
        for left, right in zip(ours, theirs, strict=True):
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)
    assert batches[0][0][0].shape == (3, 3, 33, 49)
