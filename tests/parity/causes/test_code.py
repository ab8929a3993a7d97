"""Why the code between layers differs: order, parts, passes; a recurrence, and what is in no catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle
from parity.causes.explain import Likely
from parity.networks.arguments import Arguments
from tests.parity.causes.pairs import IMAGES, compare, only

pnn, pf = paddle.nn, paddle.nn.functional


class TorchNet(nn.Module):
    """Normalised pixels, a shuffle, a gate, an activated sum, pooled and flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(4, 8, 1), nn.Conv2d(4, 4, 1), nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        y = self.first((x - 0.5) / 0.25)
        n, c, h, w = y.shape
        a, b = y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w).chunk(2, 1)
        y = self.second(a * torch.sigmoid(b))
        y = tf.gelu(y) + x
        return self.last(tf.adaptive_avg_pool2d(y, 2).flatten(1))


class PaddleNet(pnn.Layer):
    """The same; `wrong` says which one thing is not."""

    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong = wrong
        self.first, self.second, self.last = pnn.Conv2D(4, 8, 1), pnn.Conv2D(4, 4, 1), pnn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        wrong = self.wrong
        y = self.first(x / 0.25 - 0.5 if wrong == "order" else (x - 0.5) / 0.25)
        n, c, h, w = y.shape
        parts = 4 if wrong == "shuffle" else 2
        y = y.reshape([n, parts, c // parts, h, w]).transpose([0, 2, 1, 3, 4]).reshape([n, c, h, w])
        a, b = y.chunk(2, 1)
        a, b = (b, a) if wrong == "parts" else (a, b)
        y = self.second(a * (pf.hardsigmoid(b) if wrong == "gate" else pf.sigmoid(b)))
        if wrong == "sum first":
            y = pf.gelu(y + x)
        elif wrong == "half":
            y = 0.5 * pf.gelu(y) + x
        else:
            y = pf.gelu(y) + x
        y = paddle.sort(y, 1) if wrong == "sorted" else y.clip(max=1.0) if wrong == "clipped" else y
        y = pf.adaptive_avg_pool2d(y, 2)
        y = (y.transpose([0, 2, 3, 1]) if wrong == "flattened" else y).flatten(1)
        return self.last(pf.normalize(y) if wrong == "normalised" else y)


@pytest.mark.parametrize(
    ("wrong", "name", "said"),
    [
        ("order", "order of operations", "the division comes before the subtraction of 0.5"),
        ("parts", "order of parts", "in the order 2, 1"),
        ("gate", "activation", "Hardsigmoid stands where the reference has Sigmoid"),
        ("sum first", "activation after the sum", "the sum goes through GELU"),
        ("half", "factor", "in the sum is 0.5, the reference's is 1"),
        ("shuffle", "number of parts", "is divided into 4 parts, the reference's into 2"),
        ("flattened", "layout when flattened", "from (N, H, W, C), the reference's from (N, C, H, W)"),
    ],
)
def test_code_between_layers(wrong: str, name: str, said: str) -> None:
    cause = only(compare(TorchNet(), PaddleNet(wrong))).cause
    assert cause is not None
    assert cause.name == name
    assert said in cause.text


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        ("normalised", "it is a constant factor of the reference's in each of the samples"),
        ("clipped", "correlates with the reference's"),
    ],
)
def test_what_is_in_no_catalogue_is_measured(wrong: str, fact: str) -> None:
    guilty = only(compare(TorchNet(), PaddleNet(wrong)))
    assert guilty.cause is None
    assert any(fact in one for one in guilty.facts)


def test_what_there_was_no_time_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.engine.reasons.FORWARDS", 0)
    monkeypatch.setattr("parity.engine.reasons.SHARE", 0.0)
    monkeypatch.setattr(Likely.__init__, "__defaults__", (0, *Likely.__init__.__defaults__[1:]))
    guilty = only(compare(TorchNet(), PaddleNet("sorted")))
    assert guilty.untried > guilty.tried
    assert f"{guilty.tried} of {guilty.tried + guilty.untried} hypotheses tried" in guilty.reasons[0]


def test_units_share_what_may_be_spent() -> None:
    likely = Likely(left=100)
    likely.share(2)
    likely.left = 50
    assert likely.is_spent
    likely.share(1)
    assert not likely.is_spent


class TorchCell(nn.Module):
    """A gated recurrence that begins with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.given, self.kept, self.out = nn.Linear(5, 12), nn.Linear(4, 12), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        h = torch.zeros(x.shape[0], 4, dtype=x.dtype)
        for step in x.unbind(1):
            (a, b, c), (d, e, f) = self.given(step).chunk(3, 1), self.kept(h).chunk(3, 1)
            r, z = torch.sigmoid(a + d), torch.sigmoid(b + e)
            h = (1 - z) * torch.tanh(c + r * f) + z * h
        return self.out(h)


class PaddleCell(pnn.Layer):
    """The same; `wrong` says which one thing is not."""

    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong = wrong
        self.given, self.kept, self.out = pnn.Linear(5, 12), pnn.Linear(4, 12), pnn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        h = paddle.zeros([x.shape[0], 4], dtype=x.dtype)
        for step in x.unbind(1):
            (a, b, c), (d, e, f) = self.given(step).chunk(3, 1), self.kept(h).chunk(3, 1)
            if self.wrong == "gates":
                (a, b), (d, e) = (b, a), (e, d)
            r, z = pf.sigmoid(a + d), pf.sigmoid(b + e)
            new = pf.tanh(c + (f if self.wrong == "no reset" else r * f))
            h = z * new + (1 - z) * h if self.wrong == "kept for new" else (1 - z) * new + z * h
        return self.out(h)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("gates", "order of parts"),
        ("no reset", "factor missing"),
        ("kept for new", None),  # in the first step, where the state is zero, it looks like z for 1 - z
    ],
)
def test_what_the_first_step_of_a_recurrence_shows_must_hold_in_the_next(wrong: str, name: str | None) -> None:
    steps = {"short": np.random.default_rng(0).standard_normal((2, 3, 5))}
    assert compare(TorchCell(), PaddleCell(""), steps)
    cause = only(compare(TorchCell(), PaddleCell(wrong), steps)).cause
    assert (cause and cause.name) == name


class TorchPasses(nn.Module):
    """One layer applied twice, or a norm before a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.query, self.key = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        x = self.query(self.norm(x))
        for _ in range(2):
            x = self.one_pass(x)
        return x

    def one_pass(self, x: Any) -> Any:
        return x + torch.tanh(self.key(x)) * 2.0


class PaddlePasses(pnn.Layer):
    """The same, but with the norm after the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.query, self.key = pnn.BatchNorm2D(4), pnn.Conv2D(4, 4, 1), pnn.Conv2D(4, 4, 1)

    def forward(self, x: Any) -> Any:
        x = self.norm(self.query(x))
        for _ in range(2):
            x = x + pf.tanh(self.key(x)) * 2.0
        return x


def test_a_layer_that_is_called_too_early() -> None:
    causes = [guilty.cause for guilty in compare(TorchPasses(), PaddlePasses()).guilty]
    assert causes[0] is not None
    assert causes[0].name == "order of layers"
    assert causes[0].text == "`query` is called before `norm`, the reference calls it after"


@pytest.mark.parametrize(
    ("reference", "port", "text"),
    [
        (lambda: nn.Hardsigmoid(), lambda: pnn.Sigmoid(), "Sigmoid stands where the reference has Hardsigmoid"),
        (lambda: nn.Sigmoid(), lambda: pnn.Hardsigmoid(), "Hardsigmoid stands where the reference has Sigmoid"),
        (lambda: nn.ELU(), lambda: pnn.SELU(), "SELU stands where the reference has ELU"),
    ],
)
def test_numbers_that_paddle_keeps_in_float32(reference: Callable[[], Any], port: Callable[[], Any], text: str) -> None:
    ours, theirs = nn.Sequential(nn.Conv2d(4, 4, 1), reference()), pnn.Sequential(pnn.Conv2D(4, 4, 1), port())
    cause = only(compare(ours, theirs, IMAGES)).cause
    assert cause is not None
    assert cause.text == text


class Lost(pnn.Layer):
    """InPlaceABN's code without the magnitude, on the weight that the pairing folds for it."""

    def __init__(self, added: float) -> None:
        super().__init__()
        self.conv, self.norm, self.added = pnn.Conv2D(4, 4, 1), pnn.BatchNorm2D(4), added
        self.norm.forward = self._normalise

    def _normalise(self, x: Any) -> Any:
        norm = self.norm
        return pf.batch_norm(x, norm._mean, norm._variance, norm.weight + self.added, norm.bias)

    def forward(self, x: Any) -> Any:
        return self.norm(self.conv(x))


class Signed(nn.Module):
    """InPlaceABN."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        self.register_buffer("running_mean", torch.zeros(4))
        self.register_buffer("running_var", torch.ones(4))

    def forward(self, x: Any) -> Any:
        scale = self.weight.abs().add_(1e-5)
        return tf.batch_norm(x, self.running_mean, self.running_var, scale, self.bias)


class SignedNet(nn.Module):
    """Its network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), Signed()

    def forward(self, x: Any) -> Any:
        return self.norm(self.conv(x))


@pytest.mark.parametrize("added", [1e-5, 1e-3])
def test_a_lost_magnitude_is_not_said_to_be_another_constant(added: float) -> None:
    cause = only(compare(SignedNet(), Lost(added))).cause
    assert cause is not None
    assert cause.name == "scale epsilon added"
    assert "whose magnitude the port's code does not take" in cause.text


def test_arguments_that_are_no_numbers_end_no_comparison() -> None:
    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x: Any, mask: Any) -> Any:
            return torch.where(mask, self.conv(x), x), mask

    class Port(pnn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = pnn.Conv2D(4, 4, 1)

        def forward(self, x: Any, mask: Any) -> Any:
            return paddle.where(mask, self.conv(x), x), ~mask

    images = np.random.default_rng(0).standard_normal((2, 4, 5, 6))
    report = compare(Chosen(), Port(), {"one": Arguments((images, images > 0))})
    assert not report
    assert only(report).cause is None


class Twice(nn.Module):
    """A block that is applied twice, whose layers are called by its code."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.block = Gated(self.query, self.key)

    def forward(self, x: Any) -> Any:
        return self.last(self.block(self.block(x)))


class Gated(nn.Module):
    """A product of two layers, added."""

    def __init__(self, query: Any, key: Any) -> None:
        super().__init__()
        self.query, self.key = query, key

    def forward(self, x: Any) -> Any:
        return x + self.query(x) * torch.tanh(self.key(x))


class OnceOnly(pnn.Layer):
    """The same in one piece, with the layers called in the first pass only."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.last = pnn.Conv2D(4, 4, 1), pnn.Conv2D(4, 4, 1), pnn.Conv2D(4, 4, 1)

    def forward(self, x: Any) -> Any:
        query, key = self.query(x), self.key(x)
        for _ in range(2):
            x = x + query * pf.tanh(key)
        return self.last(x)


def test_layers_that_are_called_in_the_first_pass_only() -> None:
    causes = [guilty.cause for guilty in compare(Twice(), OnceOnly()).guilty]
    assert causes
    assert causes[0] is not None
    assert causes[0].name == "reused from the pass before"


def test_a_padding_by_hand_in_another_mode() -> None:
    class Reflected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 3, 3)

        def forward(self, x: Any) -> Any:
            return self.conv(tf.pad(torch.relu(x), (1, 1, 1, 1), mode="reflect"))

    class Zeros(pnn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = pnn.Conv2D(4, 3, 3)

        def forward(self, x: Any) -> Any:
            return self.conv(pf.pad(pf.relu(x), [1, 1, 1, 1]))

    cause = only(compare(Reflected(), Zeros())).cause
    assert cause is not None
    assert cause.text == "the border is padded by constant, the reference's by reflect"
