"""The families' protocols: what is done to the pixels of a picture, and which weights get which."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from paddleseg import transforms

from cityscapes.errors import DatasetError
from cityscapes.protocols import MMSEG, OFFICIAL, PADDLESEG, prepare, protocol_for
from families import FAMILIES

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_official_input_is_blue_first_less_its_mean():
    found = prepare(PIXELS, OFFICIAL)
    expected = cv2.cvtColor(PIXELS, cv2.COLOR_RGB2BGR) - np.array((104.00698793, 116.66876762, 122.67891434))
    assert found.shape == (1, 3, 1024, 2048)
    np.testing.assert_array_equal(found[0, :, :40, :60], expected.transpose(2, 0, 1))
    assert not found[..., 40:, :].any()
    assert not found[..., 60:].any()


def test_paddleseg_input_is_that_of_its_own_transforms():
    own = transforms.Compose(
        [transforms.Padding(target_size=[2049, 1025]), transforms.Normalize(mean=[0.5] * 3, std=[0.5] * 3)]
    )
    expected = own({"img": PIXELS[..., ::-1].astype("float32"), "gt_fields": []})["img"]
    found = prepare(PIXELS, PADDLESEG)
    assert found.shape == (1, 3, 1025, 2049)
    # Its default is to read blue first and to turn that into red first.
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_mmseg_input_is_scaled_and_not_padded():
    found = prepare(PIXELS, MMSEG)
    assert found.shape == (1, 3, 40, 60)
    np.testing.assert_allclose(found[0, 0], (PIXELS[..., 0] - 123.675) / 58.395)


@pytest.mark.parametrize(
    ("family", "file_name", "name", "window", "align_corners"),
    [
        ("official", "ccnet.pth", "official", 769, True),
        ("pure_pytorch", "x.pth", "official", 769, True),
        ("paddleseg", "x.pdparams", "paddleseg", None, False),
        ("mmseg", "ccnet_r50-d8_512x1024_80k_cityscapes.pth", "mmseg", None, False),
        ("mmseg", "ccnet_r101-d8_769x769_80k_cityscapes.pth", "mmseg", 769, True),
    ],
)
def test_weights_get_their_family_s_protocol(family, file_name, name, window, align_corners):
    protocol = protocol_for(family, file_name=file_name)
    assert (protocol.name, protocol.window) == (name, window)
    assert protocol.preprocessing.align_corners is align_corners


def test_every_family_with_heads_has_a_protocol():
    for name, family in FAMILIES.items():
        if family.architecture.heads:
            assert protocol_for(name, name="paddleseg") == PADDLESEG
            assert protocol_for(name).preprocessing == family.preprocessing
        else:
            with pytest.raises(DatasetError, match="no segmentation head"):
                protocol_for(name)
