"""A pair of networks of several inputs: words, their mask, and a number for each sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from models_paddle import paddle

pnn, pf = paddle.nn, paddle.nn.functional
WORDS = np.array([[1, 5, 2, 7, 0], [3, 3, 9, 0, 0], [4, 10, 6, 8, 2]])


class Reference(nn.Module):
    """Words that are masked get no attention: the weights' logarithm is minus infinity there."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.score, self.out = nn.Embedding(11, 6), nn.Linear(6, 1), nn.Linear(7, 4)

    def forward(self, words: Any, mask: Any, numbers: Any) -> Any:
        features = self.embed(words)
        energies = self.score(features).squeeze(-1).masked_fill(~mask, float("-inf"))
        weights = torch.softmax(energies, 1)
        pooled = (weights.unsqueeze(-1) * features).sum(1)
        return self.out(torch.cat([pooled, numbers], 1)), energies, energies > 0, words.max(1).values


class Port(pnn.Layer):
    """The same."""

    def __init__(self, padding: float = float("-inf")) -> None:
        super().__init__()
        self.table, self.energy, self.last = pnn.Embedding(11, 6), pnn.Linear(6, 1), pnn.Linear(7, 4)
        self.padding = padding

    def forward(self, words: Any, mask: Any, numbers: Any) -> Any:
        features = self.table(words)
        energies = self.energy(features).squeeze(-1)
        energies = paddle.where(mask, energies, paddle.full_like(energies, self.padding))
        weights = pf.softmax(energies, 1)
        pooled = (weights.unsqueeze(-1) * features).sum(1)
        return self.last(paddle.concat([pooled, numbers], 1)), energies, energies > 0, words.max(1)


def build_reference() -> Reference:
    """With fixed weights."""
    torch.manual_seed(0)
    return Reference()


def build() -> Port:
    """The right port."""
    return Port()


def build_finite() -> Port:
    """A mask of -10, not of minus infinity."""
    return Port(-10.0)


def build_half() -> Port:
    """In float16."""
    return Port().to(dtype="float16")


def build_bfloat() -> Port:
    """In bfloat16."""
    return Port().to(dtype="bfloat16")


def inputs() -> dict[str, Any]:
    """By name."""
    numbers = np.random.default_rng(0).standard_normal((3, 1))
    return {"words": WORDS, "mask": WORDS > 0, "numbers": numbers}


def inputs_in_order() -> list[Any]:
    """In order."""
    return list(inputs().values())


def inputs_in_another_order() -> dict[str, Any]:
    """By name, which decides."""
    return dict(reversed(inputs().items()))


def words_as_text() -> list[Any]:
    """No numbers."""
    return [np.array(["one", "two"])]


def nothing() -> list[Any]:
    """None at all."""
    return []
