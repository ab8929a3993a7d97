"""What training would do differently and no evaluation shows."""

from __future__ import annotations

import pytest
from torch import nn

from models_paddle import paddle
from parity.causes.settings import find_difference
from parity.networks.modules import paddle_modules, torch_modules

SAME = (
    (nn.Dropout2d(0.1), paddle.nn.Dropout2D(0.1)),
    (nn.Dropout2d(0.1), paddle.nn.Dropout(0.1, axis=[0, 1])),
    (nn.Dropout(0.1), paddle.nn.Dropout(0.1)),
    (nn.BatchNorm2d(2, momentum=0.1), paddle.nn.BatchNorm2D(2, momentum=0.9)),
    (nn.ReLU(), paddle.nn.ReLU()),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), paddle.nn.MaxPool2D(3, 2, 1, ceil_mode=True)),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), paddle.nn.MaxPool2D(3, 2, 0)),  # the output tells of another padding
    (nn.AdaptiveAvgPool2d(1), paddle.nn.AdaptiveAvgPool2D(1)),
)
DIFFERENT = (
    (nn.Dropout2d(0.1), paddle.nn.Dropout(0.1), "drops elements, torch drops channels"),
    (nn.Dropout(0.1), paddle.nn.Dropout2D(0.1), "drops channels, torch drops elements"),
    (nn.Dropout2d(0.1), paddle.nn.Dropout2D(0.2), "dropout rate 0.2, torch has 0.1"),
    (nn.BatchNorm2d(2, momentum=0.1), paddle.nn.BatchNorm2D(2, momentum=0.1), "momentum 0.1 keeps"),
    (nn.BatchNorm2d(2), paddle.nn.BatchNorm2D(2, epsilon=1e-3), "epsilon 0.001, torch has 1e-05"),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), paddle.nn.MaxPool2D(3, 2, 1), "ceil_mode False, torch has True"),
    (nn.AvgPool2d(2), paddle.nn.AvgPool2D(2, 2, ceil_mode=True), "ceil_mode True, torch has False"),
)


@pytest.mark.parametrize(("ours", "theirs"), SAME)
def test_equal_attributes(ours: nn.Module, theirs: paddle.nn.Layer) -> None:
    assert find_difference(torch_modules(ours)[""], paddle_modules(theirs)[""]) is None


@pytest.mark.parametrize(("ours", "theirs", "said"), DIFFERENT)
def test_different_attributes(ours: nn.Module, theirs: paddle.nn.Layer, said: str) -> None:
    found = find_difference(torch_modules(ours)[""], paddle_modules(theirs)[""])
    assert found is not None
    assert found.text.startswith(said)
    assert found.fix
