"""Flipped pixels: which rounding explains, and which not."""

from __future__ import annotations

import json

import pytest
import torch

from cityscapes.agreement import LISTED, Agreement, measure_noise
from cityscapes.predict import Views, choose_classes, predict
from cityscapes.protocols import MMSEG
from tests.cityscapes.networks import make_networks

NOISE = 1e-3


def make_scores(*pixels):
    """(19, 1, len(pixels)): road, sidewalk and building have the given scores, all else none."""
    scores = torch.full((19, 1, len(pixels)), -9.0)
    scores[:3, 0] = torch.tensor(pixels).T
    return scores


def compare(expected, actual, noise=NOISE):
    agreement = Agreement(noise)
    classes = [choose_classes(scores)[0] for scores in (expected, actual)]
    return agreement, agreement.add("a", (expected, actual), classes)


def test_equal_scores_do_not_differ():
    scores = make_scores((1.0, 0.0, 0.0), (0.0, 2.0, 1.0))
    agreement, flipped = compare(scores, scores.clone())
    assert agreement
    assert (agreement.differing, agreement.worst) == (0, [])
    assert not flipped.any()


@pytest.mark.parametrize(("margin", "explained"), [(5e-4, True), (2e-3, False)])
@pytest.mark.parametrize("side", [0, 1])
def test_the_margin_decides_whichever_framework_has_it(margin, explained, side):
    pair = [make_scores((1.0, 0.0, 0.0), (3.0, 3.0 + NOISE / 4, 0.0)), make_scores((1.0, 0.0, 0.0), (3.0, 3.0, 0.0))]
    pair[side][:, 0, 1] = make_scores((3.0 + margin, 3.0, 0.0))[:, 0, 0]
    pair[1 - side][:, 0, 1] = make_scores((3.0, 3.0 + NOISE / 4, 0.0))[:, 0, 0]
    agreement, flipped = compare(*pair)
    assert flipped.tolist() == [[False, True]]
    assert (agreement.differing, agreement.unexplained) == (1, int(not explained))
    assert bool(agreement) is explained
    (flip,) = agreement.worst
    assert (flip.image, flip.row, flip.column) == ("a", 0, 1)
    assert (flip.torch, flip.paddle) == (("road", "sidewalk") if side == 0 else ("sidewalk", "road"))
    assert flip.margin == pytest.approx(margin, rel=1e-2)


def test_a_noise_that_is_no_number_explains_nothing():
    pair = make_scores((1.0, 1.1, 0.0)), make_scores((1.1, 1.0, 0.0))
    assert not compare(*pair, noise=float("nan"))[0]


def test_the_worst_are_kept_and_merged():
    many = 3 * LISTED
    expected = make_scores(*[(1.0 + i / many, 0.0, 0.0) for i in range(many)])
    actual = make_scores(*[(0.0, 0.5, 0.0) for _ in range(many)])
    agreement, _ = compare(expected, actual)
    assert (agreement.differing, agreement.unexplained, len(agreement.worst)) == (many, many, LISTED)
    assert agreement.worst[0].column == many - 1
    other = Agreement.from_json(json.loads(json.dumps(agreement.to_json())))
    assert other == agreement
    agreement.merge(other)
    assert (agreement.differing, len(agreement.worst)) == (2 * many, LISTED)
    assert agreement.worst[1].column == many - 1


def test_noise_is_torch_s_own_and_leaves_the_network_as_it_was():
    network = make_networks()["torch"]
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    before = predict(network, image, MMSEG)
    noise = measure_noise(network, image, MMSEG, Views())
    assert 0 < noise < 1e-2 * float(before.abs().max())
    after = predict(network, image, MMSEG)
    assert after.dtype == torch.float32
    assert torch.equal(after, before)
