"""Parameters without influence, on networks that a corner of the images does not suit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from parity.engine.influence import SIDES, find_uninfluential
from parity.networks.arguments import Arguments


class Far(nn.Module):
    """A convolution that sees only what lies beyond `start` pixels."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start
        self.near, self.far = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.near(images), self.far(images[..., self.start :, :])


def images(side: int) -> Arguments:
    return Arguments((torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)),))


@pytest.mark.parametrize("side", [SIDES[0], SIDES[0] + 7, SIDES[1] + 20])
def test_a_fixed_input_size_is_respected(side: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * side * side, 4))
    assert find_uninfluential(model, images(side)) == ([], [])


def test_what_a_corner_does_not_show_is_looked_for_further() -> None:
    assert find_uninfluential(Far(SIDES[0] + 5), images(SIDES[1] + 5)) == ([], [])


def test_what_is_nowhere_seen_is_dead() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1))
    model[1].weight.data.zero_()
    assert find_uninfluential(model, images(SIDES[0] + 5)) == (["0.weight", "0.bias"], ["0.weight"])


def test_a_model_that_refuses_the_whole_says_why() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        find_uninfluential(nn.Sequential(nn.Flatten(), nn.Linear(5, 4)), images(SIDES[1]))


def test_frozen_parameters_and_gradients_are_left_as_they_were() -> None:
    model = Far(0).requires_grad_(False)
    model.near.weight.grad = torch.ones_like(model.near.weight)
    assert find_uninfluential(model, images(20)) == ([], [])
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model.near.weight.grad, torch.ones_like(model.near.weight))
    assert model.far.weight.grad is None
