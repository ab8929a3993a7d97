"""Dropout of a port, written as a layer or as a function.

Layers that are paired are given the same masks as the reference's. All others drop nothing while a gate runs, on either
side; of what kind they are is compared apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from parity.certify.sides import Side

FUNCTIONS = ("dropout", "dropout2d", "dropout3d", "alpha_dropout")
"""Of `paddle.nn.functional`, which a port calls by their names there."""


def is_dropout(module: Any) -> bool:
    """Whether a layer of either framework drops at random, by its class's name."""
    return "dropout" in type(module).__name__.lower()


@contextmanager
def functions_drop_nothing() -> Iterator[list[str]]:
    """Within, Paddle's functions drop nothing; yields the kind of each that would have."""
    from models_paddle import paddle

    functional, kinds = paddle.nn.functional, list[str]()

    def keeping(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        def keep(x: Any, p: Any = 0.5, *args: Any, training: bool = True, **options: Any) -> Any:
            named = dict(zip(("axis", "training", "mode") if name == "dropout" else ("training",), args, strict=False))
            if not named.get("training", training) or not p:
                return own(x, p, *args, **{**options, **({} if "training" in named else {"training": training})})
            channels = name in ("dropout2d", "dropout3d") or named.get("axis", options.get("axis")) in ([0, 1], (0, 1))
            mode = named.get("mode", options.get("mode", "upscale_in_train"))
            kinds.append(describe_kind(channels, 1 / (1 - float(p)) if mode == "upscale_in_train" else 1.0))
            return x * 1

        return keep

    with ExitStack() as stack:
        for name in FUNCTIONS:
            stack.enter_context(patch.object(functional, name, keeping(name, getattr(functional, name))))
        yield kinds


def describe_kind(channels: bool, factor: float, *, drops: bool = True) -> str:
    """What a dropout does, in words."""
    return f"{'whole channels' if channels else 'elements'}, kept × {factor:.6g}, {'some' if drops else 'none'} dropped"


def kind_of(side: Side, module: Any) -> str:
    """What a dropout layer does to ones, in train mode: whole channels or elements, and by how much kept are scaled."""
    output = side.array(module(side.tensor(np.ones((16, 64, 4, 4)))))
    # Of whole channels, 1024 draws: a rate to three decimals would be chance.
    return describe_kind(
        bool((output == output[..., :1, :1]).all()), float(output.max()), drops=bool((output == 0).any())
    )
