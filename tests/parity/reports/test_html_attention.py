"""The attention maps: what the formula says for healthy twins, and mistakes that show in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import models_paddle.attention
from models_paddle import paddle
from parity.networks.inputs import make_images
from parity.reports.html.attention_maps import compute_attention_maps
from parity.reports.html.pictures import draw_attention
from tests.parity.made_reports import build_twins

IMAGES = make_images((33, 49), seed=0)
PIXEL = (1, 2)
LIMIT = 1e-9
"""Relative, in float64, where no machine's kernels round by more than a thousandth of it."""


def build_float64_twins(mistakes):
    """Torch's twin and Paddle's."""
    torch_model, paddle_model, _ = build_twins(mistakes)
    paddle_model.to(dtype="float64")
    return torch_model.double(), paddle_model


@pytest.fixture(scope="module")
def twins():
    return build_float64_twins({})


def reference(model, pixel):
    """The first map by the formula, from query and key: softmax over the row and column, the pixel once."""
    found = {"query": [], "key": []}
    attention = model.head.attention
    handles = [
        getattr(attention, name).register_forward_hook(lambda m, a, o, seen=seen: seen.append(o[0].numpy()))
        for name, seen in found.items()
    ]
    model.eval()
    with torch.no_grad():
        model(torch.from_numpy(IMAGES[:1]).double())
    model.train()
    for handle in handles:
        handle.remove()
    query, key = found["query"][0], found["key"][0]
    energies = np.einsum("k,kyx->yx", query[:, pixel[0], pixel[1]], key)
    rows, columns = np.indices(energies.shape)
    weights = np.where((rows == pixel[0]) | (columns == pixel[1]), np.exp(energies), 0)
    return float(attention.gamma) * weights / weights.sum()


def test_first_map_is_the_formula(twins):
    first = compute_attention_maps(*twins, IMAGES, pixel=PIXEL).maps[0]
    expected = reference(twins[0], PIXEL)
    for actual in (first.torch, first.paddle):
        np.testing.assert_allclose(actual, expected, rtol=LIMIT, atol=LIMIT)


def test_one_pass_sees_a_cross_and_two_see_everything(twins):
    attention = compute_attention_maps(*twins, IMAGES, pixel=PIXEL)
    once, twice = (entry.torch for entry in attention.maps)
    gamma = float(twins[0].head.attention.gamma)
    outside = np.ones_like(once, dtype=bool)
    outside[PIXEL[0]], outside[:, PIXEL[1]] = False, False
    assert np.all(once[outside] == 0)
    assert np.all(once[~outside] > 0)
    assert np.all(twice > 0)
    assert once.sum() == pytest.approx(gamma, rel=LIMIT)
    assert twice.sum() == pytest.approx(gamma**2, rel=LIMIT)
    assert all(entry.difference.max() <= LIMIT for entry in attention.maps)


def test_recurrence_of_the_twins_does_not_matter(twins):
    expected = compute_attention_maps(*twins, IMAGES)
    for model in twins:
        model.head.recurrence = 0
    actual = compute_attention_maps(*twins, IMAGES)
    for model in twins:
        model.head.recurrence = 2
    assert actual.pixel == expected.pixel
    for ours, theirs in zip(actual.maps, expected.maps, strict=True):
        assert np.array_equal(ours.torch, theirs.torch)


def test_a_missing_mask_shows_at_the_pixel_itself(twins, monkeypatch):
    monkeypatch.setattr(
        models_paddle.attention, "self_mask", lambda size, like: paddle.zeros([size, size], dtype=like.dtype)
    )
    difference = compute_attention_maps(*twins, IMAGES, pixel=PIXEL).maps[0].difference
    assert difference.max() > 1e-3
    assert np.unravel_index(difference.argmax(), difference.shape) == PIXEL


def test_a_wrong_gamma_shows():
    models = build_float64_twins({"head.attention.gamma": 1.5})
    once, twice = compute_attention_maps(*models, IMAGES).maps
    ours, theirs = (model.head.attention.gamma.item() for model in models)
    assert theirs / ours == pytest.approx(1.5)
    np.testing.assert_allclose(once.paddle, once.torch * theirs / ours, rtol=LIMIT)
    assert twice.paddle.sum() == pytest.approx(twice.torch.sum() * (theirs / ours) ** 2, rel=LIMIT)


def test_features_of_another_size_are_shown_without_a_difference(twins):
    pool = twins[1].backbone.pool
    twins[1].backbone.pool = paddle.nn.MaxPool2D(3, 4, 1)
    try:
        attention = compute_attention_maps(*twins, IMAGES)
    finally:
        twins[1].backbone.pool = pool
    assert attention.maps[0].difference is None
    row = draw_attention(attention)[0]
    assert [picture.title for picture in row.pictures] == ["torch", "Paddle"]
    assert "nothing to subtract" in row.verdict


def test_both_twins_stay_as_they_were(twins):
    torch_model, paddle_model = twins
    compute_attention_maps(torch_model, paddle_model, IMAGES)
    assert torch_model.training
    assert paddle_model.training
    assert all(parameter.grad is None for parameter in (*torch_model.parameters(), *paddle_model.parameters()))
    for side in (torch_model, paddle_model):
        for module in (side.head.reduce, side.head.attention.value):
            hooks = module._forward_hooks if side is torch_model else module._forward_post_hooks
            assert not hooks


def test_pictures_share_a_scale_and_say_equality():
    torch_model, paddle_model, _ = build_twins({"head.attention.gamma": 1.5})
    ours, theirs, difference = draw_attention(compute_attention_maps(torch_model, paddle_model, IMAGES))[0].pictures
    assert ours.brightest == theirs.brightest != difference.brightest
    assert ours.uri != theirs.uri
    assert all(picture.uri.startswith("data:image/png;base64,") for picture in (ours, theirs, difference))
