"""Inputs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from families import get_family
from parity.errors import ParityInputError
from parity.networks.inputs import make_images, read_image
from recipe.preprocessing import preprocess


def test_official_preprocessing_is_bgr_minus_mean():
    pixels = np.zeros((1, 1, 3), np.uint8)
    pixels[..., 0] = 255  # red
    values = preprocess(pixels, get_family("official").preprocessing)
    assert values.shape == (3, 1, 1)
    np.testing.assert_allclose(values[:, 0, 0], [-104.00698793, -116.66876762, 255 - 122.67891434])


def test_pictures_are_resized(tmp_path):
    Image.new("RGB", (30, 20), (10, 20, 30)).save(tmp_path / "p.png")
    images = read_image(tmp_path / "p.png", get_family("official").preprocessing, size=(9, 17))
    assert images.shape == (1, 3, 9, 17)


@pytest.mark.parametrize("content", [None, b"", b"not a picture"])
def test_unreadable_pictures_are_refused(tmp_path, content):
    path = tmp_path / "p.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParityInputError, match="not a readable picture"):
        read_image(path, get_family("official").preprocessing)


def test_random_images_depend_on_seed_and_size():
    assert make_images((8, 9), seed=0).shape == (2, 3, 8, 9)
    assert not np.array_equal(make_images((8, 9), seed=0), make_images((8, 9), seed=1))
