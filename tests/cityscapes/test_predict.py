"""Prediction against the reference's recorded outputs, PaddleSeg's own functions, and hand-made ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import paddle
import pytest
import torch
from paddleseg.core import infer
from scipy import ndimage

from cityscapes.confusion import Score, count_confusion
from cityscapes.networks import NETWORKS, TorchNetwork
from cityscapes.predict import Views, choose_classes, predict, resize
from cityscapes.protocols import MMSEG, OFFICIAL, PADDLESEG
from converter import convert_tensors
from parity.certify.measure import noise_ratio
from tests.cityscapes.networks import Linear, make_networks
from tests.golden.weights import GOLDEN, make_image, make_label, make_state_dict
from tests.models.networks import build_twin
from twins.tolerances import FLOAT32_NOISE_RATIO

LINEAR = TorchNetwork(Linear())
IMAGE = torch.from_numpy(make_image((1, 3, 40, 56), 1))
SCALES = (0.75, 1.0, 1.25)


@pytest.fixture(scope="module", params=NETWORKS)
def reference(request):
    """A twin with the weights that the reference's `evaluate.py` ran with."""
    tensors = convert_tensors(make_state_dict("official", 0), "official", dtype="float64")
    size = {"num_classes": 19, "recurrence": 2, "depth": 101}
    return NETWORKS[request.param](build_twin(request.param, "official", tensors, "float64", **size).model)


def test_official_predictions_are_reproduced(reference):
    golden = np.load(GOLDEN / "official_eval.npz")
    image, label = torch.from_numpy(make_image((1, 3, 130, 210), 5)), make_label((1, 130, 210), 19, 5)
    for case, window in (("whole", None), ("slide97", 97)):
        scores = predict(reference, image, replace(OFFICIAL, window=window))
        samples = scores.permute(0, 2, 3, 1).reshape(-1).numpy()
        picked = samples[np.linspace(0, samples.size - 1, 4096).astype(np.int64)]
        expected = golden[f"predict/{case}/samples"]
        np.testing.assert_allclose(picked, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
        classes, finite = choose_classes(scores[0])
        assert finite
        np.testing.assert_array_equal(classes.numpy(), golden[f"predict/{case}/argmax"][0])
        confusion = count_confusion(classes.numpy(), label[0])
        np.testing.assert_array_equal(confusion, golden[f"predict/{case}/confusion"])
        assert abs(Score(confusion).miou - golden[f"predict/{case}/miou"]) <= 1e-12


@pytest.mark.parametrize(
    "mistake",
    [
        {"preprocessing": replace(OFFICIAL.preprocessing, align_corners=False)},
        {"overlap": Fraction(1, 2)},
        {"window": 65},
    ],
)
def test_another_protocol_gives_other_predictions(mistake):
    right = replace(OFFICIAL, window=33)
    wrong = replace(right, **mistake)
    assert not torch.allclose(predict(LINEAR, IMAGE, right), predict(LINEAR, IMAGE, wrong))


@pytest.mark.parametrize("slide", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_paddleseg_averages_the_same(slide, flip):
    """Its own `aug_inference` on the same Paddle layer, in float32, is as far from ours in float64 as ours in float32
    is; with a scale less it is not."""
    network = make_networks("paddleseg")["paddle"]
    model = network.model

    def paddleseg_model(images):
        logits = model(images)[0]
        return [paddle.nn.functional.interpolate(logits, images.shape[2:], mode="bilinear")]

    options = {"is_slide": True, "crop_size": (33, 33), "stride": (22, 22)} if slide else {}
    options["flip_horizontal"] = flip
    images = paddle.to_tensor(IMAGE.float().numpy())
    with paddle.no_grad():
        theirs, wrong = (
            infer.aug_inference(paddleseg_model, images, [], scales=list(scales), **options)[1].numpy()
            for scales in (SCALES, SCALES[1:])
        )
    view = replace(PADDLESEG, window=33 if slide else None), Views(SCALES, flip)
    rounded = predict(network, IMAGE.float(), *view).numpy()
    model.to(dtype="float64")
    exact = predict(network, IMAGE, *view).numpy()
    model.to(dtype="float32")
    assert noise_ratio(theirs, rounded, exact) <= FLOAT32_NOISE_RATIO < noise_ratio(wrong, rounded, exact)


def test_official_scales_and_flip_as_they_were_meant():
    """Pictures scaled by SciPy as the reference does, results brought back to the picture, columns mirrored."""
    expected = 0
    for scale in SCALES:
        scaled = ndimage.zoom(IMAGE.numpy(), (1, 1, scale, scale), order=1, prefilter=False)
        for step in (1, -1):
            logits = LINEAR(torch.from_numpy(scaled[..., ::step].copy()))
            expected += resize(logits, (40, 56), align_corners=True).numpy()[..., ::step] / 6
    found = predict(LINEAR, IMAGE, replace(OFFICIAL, window=None), Views(SCALES, flip=True))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_mmseg_averages_probabilities():
    views = [predict(LINEAR, IMAGE, MMSEG), predict(LINEAR, IMAGE.flip(-1), MMSEG).flip(-1)]
    expected = sum(view.softmax(1) for view in views) / 2
    found = predict(LINEAR, IMAGE, MMSEG, Views(flip=True))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(1), torch.ones_like(found[:, 0]))


def test_a_mirrored_picture_has_mirrored_scores():
    for protocol in (OFFICIAL, replace(PADDLESEG, window=24), MMSEG):
        one = predict(LINEAR, IMAGE, protocol, Views(SCALES, flip=True))
        other = predict(LINEAR, IMAGE.flip(-1), protocol, Views(SCALES, flip=True))
        torch.testing.assert_close(other.flip(-1), one)


def test_a_picture_smaller_than_the_window():
    """The official evaluation extends it by zeros, the others take it as it is."""
    whole = predict(LINEAR, IMAGE, replace(PADDLESEG, window=None))
    torch.testing.assert_close(predict(LINEAR, IMAGE, replace(PADDLESEG, window=64)), whole)
    padded = torch.nn.functional.pad(IMAGE, (0, 8, 0, 24))
    expected = resize(LINEAR(padded), (64, 64), align_corners=True)[..., :40, :56]
    torch.testing.assert_close(predict(LINEAR, IMAGE, replace(OFFICIAL, window=64)), expected)


def test_logits_that_are_not_finite_are_seen():
    scores = torch.zeros(19, 4, 4)
    assert choose_classes(scores)[1]
    for value in (float("nan"), float("inf")):
        scores[7, 1, 2] = value
        assert not choose_classes(scores)[1]
