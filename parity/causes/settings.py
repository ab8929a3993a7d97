"""Attributes that decide what a layer does when it trains, and that no output in evaluation mode shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.networks.modules import ModuleInfo


@dataclass(frozen=True)
class Difference:
    """What differs between a pair's attributes, in one sentence, and what to write instead."""

    name: str
    text: str
    fix: str


def find_difference(torch: ModuleInfo, paddle: ModuleInfo) -> Difference | None:
    """The first difference between a pair's attributes; None if there is none.

    BatchNorm's momentum (Paddle's is the complement of torch's) and epsilon, and dropout's rate, as float32;
    what dropout drops; and how a pool rounds its output's size.
    """
    if torch.kind == paddle.kind == "norm":
        return _norm(torch.module, paddle.module)
    if "dropout" in type(torch.module).__name__.lower() and "dropout" in type(paddle.module).__name__.lower():
        return _dropout(torch.module, paddle.module)
    if "pool" in type(torch.module).__name__.lower() and "pool" in type(paddle.module).__name__.lower():
        return _pool(torch.module, paddle.module)
    return None


def _pool(ours: Any, theirs: Any) -> Difference | None:
    """Rounding of the output's size, where all else is the same: an input may not show it."""
    window = [_pair(getattr(ours, name, None)) for name in ("kernel_size", "stride", "padding")]
    others = [_pair(getattr(theirs, name, None)) for name in ("ksize", "stride", "padding")]
    if others[1] is None:
        others[1] = others[0]
    expected, actual = getattr(ours, "ceil_mode", None), getattr(theirs, "ceil_mode", None)
    if None in (*window, *others, expected, actual) or window != others or bool(expected) == bool(actual):
        return None
    text = f"ceil_mode {bool(actual)}, torch has {bool(expected)}"
    return Difference("ceil_mode", text, f"ceil_mode={bool(expected)}")


def _pair(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, int):
        return value, value
    return tuple(value) if isinstance(value, list | tuple) and len(value) == 2 else None


def _dropout(ours: Any, theirs: Any) -> Difference | None:
    if not _same(ours.p, theirs.p):
        return Difference("dropout rate", f"dropout rate {theirs.p}, torch has {ours.p}", f"p={ours.p}")
    dropped, expected = _dropped(theirs), _dropped(ours)
    if dropped == expected:
        return None
    kind = "Dropout2D" if expected == "channels" else "Dropout"
    return Difference("kind of dropout", f"drops {dropped}, torch drops {expected}", f"nn.{kind}({ours.p})")


def _dropped(module: Any) -> str:
    """Whole channels by class, or by the axes along which Paddle draws."""
    by_channel = type(module).__name__.lower() != "dropout" or list(getattr(module, "axis", None) or ()) == [0, 1]
    return "channels" if by_channel else "elements"


def _norm(ours: Any, theirs: Any) -> Difference | None:
    momentum, kept = getattr(ours, "momentum", None), getattr(theirs, "_momentum", None)
    if momentum is not None and kept is not None and not _same(1 - momentum, kept):
        text = f"momentum {kept} keeps that share of the old statistics, torch's {momentum} keeps {1 - momentum:g}"
        return Difference("momentum", text, f"momentum={1 - momentum:g}, the complement of torch's")
    epsilon, other = getattr(ours, "eps", None), getattr(theirs, "_epsilon", None)
    if epsilon is not None and other is not None and not _same(epsilon, other):
        return Difference("epsilon", f"epsilon {other:g}, torch has {epsilon:g}", f"epsilon={epsilon:g}")
    return None


def _same(left: float, right: float) -> bool:
    return bool(np.isclose(np.float32(left), np.float32(right), rtol=1e-6, atol=0))
