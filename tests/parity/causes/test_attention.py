"""Why an attention differs that torch does in one function, or whose port has it in four linear layers."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle
from parity.causes.replay import Replay, Watched
from tests.parity.causes.pairs import compare, only

pnn, pf = paddle.nn, paddle.nn.functional
WIDTH, HEADS = 8, 2
SEQUENCES = {
    "odd": np.random.default_rng(0).standard_normal((2, 6, 5)),
    "even": np.random.default_rng(1).standard_normal((3, 4, 5)),
}


class TorchNet(nn.Module):
    """Masked self-attention between two linear layers."""

    def __init__(self, *, batch_first: bool = True, masked: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 3)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first)
        self.batch_first, self.masked = batch_first, masked

    def forward(self, x: Any) -> Any:
        h = self.first(x)
        mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool() if self.masked else None
        h = h if self.batch_first else h.transpose(0, 1)
        attended = self.attention(h, h, h, attn_mask=mask)[0]
        return self.last(attended if self.batch_first else attended.transpose(0, 1))


class ByHand(pnn.Layer):
    """Four linear layers; `wrong` says which one thing is not as torch does it."""

    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong = wrong
        self.query, self.key, self.value, self.out = (pnn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Any, mask: Any) -> Any:
        wrong, (count, length, _), heads = self.wrong, x.shape, 4 if self.wrong == "heads" else HEADS
        width = WIDTH // heads

        def divide(y: Any) -> Any:
            if wrong == "divided":
                return y.reshape([count, length, width, heads]).transpose([0, 3, 1, 2])
            return y.reshape([count, length, heads, width]).transpose([0, 2, 1, 3])

        q, k, v = (divide(layer(x)) for layer in (self.query, self.key, self.value))
        q, k = (k, q) if wrong == "swapped" else (q, k)
        energy = paddle.matmul(q, k, transpose_y=True)
        energy = energy if wrong == "scale" else energy * (WIDTH if wrong == "whole width" else width) ** -0.5
        if wrong != "mask" and mask is not None:
            hidden = mask.t() if wrong == "turned" else mask
            energy = paddle.where(hidden, paddle.full_like(energy, -10.0 if wrong == "ten" else -np.inf), energy)
        attended = paddle.matmul(pf.softmax(energy, 2 if wrong == "axis" else -1), v)
        attended = attended if wrong == "merged" else attended.transpose([0, 2, 1, 3])
        return self.out(attended.reshape([count, length, WIDTH]))


class PaddleNet(pnn.Layer):
    """The port of TorchNet."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.first, self.attention, self.last = pnn.Linear(5, WIDTH), attention, pnn.Linear(WIDTH, 3)

    def forward(self, x: Any) -> Any:
        mask = paddle.triu(paddle.ones([x.shape[1], x.shape[1]]), 1) > 0
        return self.last(self.attention(self.first(x), mask))


class Paddles(pnn.Layer):
    """Paddle's own, which adds its mask and has the batch first."""

    def __init__(self, heads: int = HEADS, *, masked: bool = True, turned: bool = False) -> None:
        super().__init__()
        self.whole, self.masked, self.turned = pnn.MultiHeadAttention(WIDTH, heads), masked, turned

    def forward(self, x: Any, mask: Any) -> Any:
        if self.turned:
            return self.whole(x.transpose([1, 0, 2])).transpose([1, 0, 2])
        lowest = paddle.where(mask, paddle.full(mask.shape, -np.inf, x.dtype), paddle.zeros(mask.shape, x.dtype))
        return self.whole(x, x, x, attn_mask=lowest if self.masked else None)


@pytest.mark.parametrize("batch_first", [True, False])
def test_right_ports_are_paired_and_silent(batch_first: bool) -> None:
    assert compare(TorchNet(batch_first=batch_first), PaddleNet(ByHand("")), SEQUENCES)
    assert compare(TorchNet(batch_first=batch_first), PaddleNet(Paddles()), SEQUENCES)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("heads", "number of heads"),
        ("swapped", "results exchanged"),
        ("scale", "factor missing"),
        ("whole width", "energies scaled"),
        ("mask", "mask missing"),
        ("turned", "mask transposed"),
        ("ten", "finite mask"),
        ("axis", "axis of softmax"),
        ("divided", "layout of parts"),
        ("merged", "reshaped for transposed"),
    ],
)
def test_mistakes_by_hand(wrong: str, name: str) -> None:
    guilty = only(compare(TorchNet(), PaddleNet(ByHand(wrong)), SEQUENCES))
    assert guilty.path == "attention"
    assert guilty.cause is not None
    assert guilty.cause.name == name
    if wrong == "swapped":
        assert guilty.cause.text == "the query and the key are taken for each other"


@pytest.mark.parametrize(
    ("attention", "name"),
    [
        (Paddles(4), "number of heads"),
        (Paddles(masked=False), "mask missing"),
    ],
)
def test_mistakes_with_paddles_own(attention: Any, name: str) -> None:
    cause = only(compare(TorchNet(), PaddleNet(attention), SEQUENCES)).cause
    assert cause is not None
    assert cause.name == name


def test_batch_for_sequence() -> None:
    cause = only(compare(TorchNet(masked=False), PaddleNet(Paddles(turned=True)), SEQUENCES)).cause
    assert cause is not None
    assert cause.name == "batch for sequence"


class Product(nn.Module):
    """The function alone."""

    def forward(self, query: Any, **settings: Any) -> Any:
        return tf.scaled_dot_product_attention(query, query, query, **settings)


def test_torchs_functions_are_opened() -> None:
    """What is done step by step is what torch does in one."""
    generator = torch.Generator().manual_seed(0)
    for batch_first, averaged, bias, width in product((True, False), (True, False), (True, False), (None, 6)):
        attention = nn.MultiheadAttention(WIDTH, HEADS, 0.1, bias, batch_first=batch_first, kdim=width, vdim=width)
        attention = attention.double().eval()
        shapes = ((3, 5, WIDTH), (3, 7, width or WIDTH)) if batch_first else ((5, 3, WIDTH), (7, 3, width or WIDTH))
        query, key = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
        given = {
            "attn_mask": torch.randn(5, 7, generator=generator).double(),
            "key_padding_mask": torch.arange(7).expand(3, 7) > 5,
            "average_attn_weights": averaged,
        }
        replay = Replay(attention, (query, key, key), given, {}, Watched("", "output", 0))
        assert "softmax" in [step.name for step in replay.steps]
        with torch.no_grad():
            expected = attention(query, key, key, **given)
        torch.testing.assert_close(replay.baseline, list(expected))
    query = torch.randn(2, 5, 4, generator=generator).double()
    for settings in ({}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": torch.eye(5).bool()}):
        replay = Replay(Product(), (query,), settings, {}, Watched("", "output", 0))
        assert "softmax" in [step.name for step in replay.steps]
        torch.testing.assert_close(replay.baseline, [Product()(query, **settings)])


def test_a_mask_that_hides_all_is_left_to_torch() -> None:
    query = torch.ones(1, 2, 4)
    replay = Replay(Product(), (query,), {"attn_mask": torch.zeros(2, 2).bool()}, {}, Watched("", "output", 0))
    assert [step.name for step in replay.steps] == ["scaled_dot_product_attention"]
