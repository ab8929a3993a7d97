"""Small pairs of networks for the tests of the harness."""

from __future__ import annotations

from typing import Any

import torch

import models_paddle
import models_torch
from converter import to_paddle
from parity.networks.inputs import make_images
from twins.weights import standin_pair

INPUTS = {"odd": make_images((33, 49), seed=0), "even": make_images((40, 24), seed=0)}


def make_twins(*, recurrence: int = 2, seed: int = 0, family: str = "official") -> tuple[torch.nn.Module, Any]:
    """Both twins at depth 18 with the same stand-in weights."""
    weights = standin_pair(seed=seed, depth=18, family=family)
    size = {"num_classes": 19, "recurrence": recurrence, "depth": 18}
    ours = models_torch.build_uninitialised(family, **size)
    models_torch.load_weights(ours, dict(weights.torch))
    theirs = models_paddle.build_uninitialised(family, **size)
    models_paddle.load_weights(theirs, {to_paddle(name): array for name, array in weights.paddle.items()})
    return ours, theirs


def sublayer(model: Any, path: str) -> Any:
    """The Paddle layer at `path`."""
    return dict(model.named_sublayers(include_self=True))[path]
