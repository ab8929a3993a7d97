"""References whose layers overwrite what they are given, with small networks of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.pairing.match import match_port
from tests.parity.small_twins import INPUTS


class Doubling(torch.nn.Module):
    """Has no parameters, and overwrites what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu_(x).mul_(2)


class PortedDoubling(paddle.nn.Layer):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return paddle.nn.functional.relu(x) * self.factor


def test_a_reference_without_parameters_that_overwrites_its_input():
    images = INPUTS["odd"].astype(np.float32)
    before = images.copy()
    assert compare_models(Doubling(), PortedDoubling(2.0), images)
    assert not compare_models(Doubling(), PortedDoubling(2.001), images)
    assert np.array_equal(images, before)


class Shared(torch.nn.Module):
    """Uses its convolution's output again after an activation has overwritten it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 1)
        self.relu = torch.nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.conv(x)
        second = self.again(self.relu(first))
        second += first
        return second


class PortedShared(paddle.nn.Layer):
    def __init__(self, *, activated: bool) -> None:
        super().__init__()
        self.conv, self.again = paddle.nn.Conv2D(3, 4, 3), paddle.nn.Conv2D(4, 4, 1)
        self.relu, self.activated = paddle.nn.ReLU(), activated

    def forward(self, x: Any) -> Any:
        first = self.conv(x)
        second = self.relu(first)
        return self.again(second) + (second if self.activated else first)


@pytest.mark.parametrize("activated", [True, False])
def test_what_an_overwritten_tensor_holds_is_what_counts(activated):
    reference, port = Shared(), PortedShared(activated=activated)
    pairing, _ = match_port(reference, port, None)
    report = compare_models(reference, port, INPUTS["odd"], pairs=pairing, dtypes=["float64"])
    assert bool(report) is activated
    assert {one.path for one in report.guilty} == (set() if activated else {""})
