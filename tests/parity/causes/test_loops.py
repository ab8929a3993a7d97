"""Why a loop differs, of which one line makes several tensors, and what stands after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle
from tests.parity.causes.pairs import compare, only

pnn, pf = paddle.nn, paddle.nn.functional


class TorchLoop(nn.Module):
    """Five branches, each resized, joined; a border of other widths on each side; a gate of the user's own class."""

    class Swish(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * torch.sigmoid(x)

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(4, 2, 1) for _ in range(5)])
        self.swish, self.last = self.Swish(), nn.Conv2d(10, 3, 3)

    def forward(self, x: Any) -> Any:
        sizes = zip(self.branches, (1, 2, 3, 4, 5), strict=True)
        pooled = [branch(tf.adaptive_avg_pool2d(x, size)) for branch, size in sizes]
        resized = [tf.interpolate(one, x.shape[2:], mode="bilinear", align_corners=True) for one in pooled]
        return self.last(self.swish(tf.pad(torch.cat(resized, 1), [0, 1, 2, 3])))


class PaddleLoop(pnn.Layer):
    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong = wrong
        self.branches = pnn.LayerList([pnn.Conv2D(4, 2, 1) for _ in range(5)])
        self.last = pnn.Conv2D(10, 3, 3)

    def forward(self, x: Any) -> Any:
        corners = self.wrong != "corners"
        sizes = zip(self.branches, (1, 2, 3, 4, 5), strict=True)
        pooled = [branch(pf.adaptive_avg_pool2d(x, size)) for branch, size in sizes]
        resized = [pf.interpolate(one, x.shape[2:], mode="bilinear", align_corners=corners) for one in pooled]
        y = paddle.concat(resized[4:] + resized[:4] if self.wrong == "joined" else resized, 1)
        y = pf.pad(y, [1, 0, 2, 3] if self.wrong == "padded" else [0, 1, 2, 3])
        return self.last(pf.relu(y) if self.wrong == "gate" else pf.silu(y))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("corners", "align_corners is False, the reference's is True; so are 4 more"),
        ("joined", "joined in another order: "),
        ("padded", "the border is [1, 0, 2, 3] wide, the reference's [0, 1, 2, 3]"),
        ("gate", "ReLU stands where the reference has Swish"),
    ],
)
def test_what_a_loop_does(wrong: str, said: str) -> None:
    guilty = only(compare(TorchLoop(), PaddleLoop(wrong)))
    assert guilty.cause is not None
    assert guilty.cause.text.startswith(said)


def test_a_loop_that_is_right() -> None:
    assert compare(TorchLoop(), PaddleLoop(""))
