"""How a port may give the same outputs otherwise than the reference does, and what is no convention but a mistake.

PaddleSeg's models resize their logits to the images, and call their auxiliary head in training only. Then the reference
is brought to the same convention, with the port's own framework, and the report says so. An argmax, a softmax or
another order of the outputs are not what the reference gives: they are said in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from parity.engine.scalars import resize_by_paddle
from parity.verdicts.comparison import compare
from twins.lazy import Tensor, functional, torch
from twins.tensors import ARRAYS, TORCH, Exchange

MOST_OUTPUTS = 4
AUXILIARY = ("aux", "dsn", "deep", "side", "supervis")
"""Parts of the keys of outputs that are not the main one."""
NOT_LOGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "the softmax of the reference's logits": lambda logits: functional.softmax(logits, 1),
    "the logarithm of the softmax of the reference's logits": lambda logits: functional.log_softmax(logits, 1),
    "the sigmoid of the reference's": lambda outputs: torch.sigmoid(outputs),
    "the reference's with the opposite sign": lambda outputs: -outputs,
}
"""What a port's output may be instead of the reference's -> how that is made."""


@dataclass
class Convention:
    """How the port's outputs are brought together with the reference's; found at the first pass that reaches them.

    `training` are the layers of the port that are in train mode, so that auxiliary outputs are given, while all others
    evaluate; `reference_trains` whether the reference itself gives them in train mode only.
    `align_corners` is that of the resize to the images, None where there is none; `exactly` whether it is exact in
    float64, or Paddle's, which keeps source positions as float32.
    """

    training: tuple[Any, ...] = ()
    reference_trains: bool = False
    align_corners: bool | None = None
    exactly: bool = False
    resized: str = ""
    """Whose outputs are resized to the images by themselves: "port" or "reference"."""
    order: tuple[int, ...] | None = None
    exchange: Exchange = TORCH
    keys: tuple[str, ...] = ()
    """Where one side gives a dictionary and the other a sequence in another order: its keys."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was done, for people."""
        found = []
        if self.align_corners is not None:
            found.append(
                f"outputs compared as the {self.resized} gives them: resized to the images, align_corners "
                f"{str(self.align_corners).lower()}"
            )
        if self.keys:
            found.append(f"outputs paired by their values: one side gives a dictionary of {', '.join(self.keys)}")
        if self.training or self.reference_trains:
            found.append("the auxiliary outputs were compared in train mode, its norms and dropout evaluating")
        return tuple(found)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the port gives all of its outputs."""
        before = [layer.training for layer in self.training]
        for layer in self.training:
            layer.training = True
        try:
            yield
        finally:
            for layer, training in zip(self.training, before, strict=True):
                layer.training = training

    def bring(
        self,
        actual: Sequence[Any],
        actual_names: Sequence[str],
        expected: Sequence[Tensor],
        names: Sequence[str],
        size: Sequence[int],
    ) -> tuple[list[Any], list[Tensor]]:
        """The port's outputs (Paddle tensors) in the reference's order, and both at one size.

        `size` (H, W) is the images'.
        """
        ours = _in_order(actual, actual_names, names)
        if len(ours) != len(expected):
            return ours, list(expected)
        if all(actual_names) and all(names) and sorted(actual_names) != sorted(names):
            ours = _by_both_meanings(ours, actual_names, names)
        elif all(actual_names) != all(names):
            ours = self._by_value(ours, expected, actual_names if all(actual_names) else names)
        resized = {_whose_is_resized(one, two, list(size)) for one, two in zip(ours, expected, strict=True)}
        if resized not in ({"port"}, {"reference"}):  # of all outputs, or of none
            return ours, list(expected)
        (self.resized,) = resized
        pairs = [self._at_one_size(one, two, list(size)) for one, two in zip(ours, expected, strict=True)]
        return [one for one, _ in pairs], [two for _, two in pairs]

    def _by_value(self, actual: list[Any], expected: Sequence[Tensor], keys: Sequence[str]) -> list[Any]:
        """A dictionary against a sequence has no order: main outputs come first, or else the order in which all agree.

        Of a reference's dictionary the keys' order is that of the sequence which the port gives.
        """
        if self.order is None and len(actual) <= MOST_OUTPUTS:
            self.order = _by_meaning(keys) or _by_agreement(list(map(self.exchange.read, actual)), expected)
            if self.order is not None and self.order != tuple(range(len(actual))):
                self.keys = tuple(keys)
        return actual if self.order is None else [actual[number] for number in self.order]

    def _at_one_size(self, actual: Any, expected: Tensor, size: list[int]) -> tuple[Any, Tensor]:
        own = self.exchange.read(actual)
        if self.resized == "port":
            return actual, self._nearest(expected, own, size, (False, True))
        return self.exchange.write(self._nearest(own, expected, size, (True,))), expected

    def _nearest(self, small: Tensor, large: Tensor, size: list[int], exactness: Sequence[bool]) -> Tensor:
        """`small` resized as `large` was: the way is found once."""
        if self.align_corners is None:
            ways = [(corners, exactly) for exactly in exactness for corners in (False, True)]
            resized = {way: _resize(small, size, *way) for way in ways}
            self.align_corners, self.exactly = min(ways, key=lambda way: float(abs(resized[way] - large).max()))
        return _resize(small, size, self.align_corners, self.exactly)


def find_training_layers(port: Any, run: Callable[[], int], expected: int) -> tuple[Any, ...]:
    """The layers to put in train mode so that the port gives `expected` outputs: none, the network, or all that hold
    layers. `run` evaluates the port and counts. None of them, where no choice gives as many."""
    if run() == expected:
        return ()
    holders = tuple(layer for layer in port.sublayers(include_self=True) if any(True for _ in layer.children()))
    for layers in ((port,), holders):
        with Convention(training=layers).applied():
            if run() == expected:
                return layers
    return ()


def explain_outputs(actual: Sequence[Any], expected: Sequence[Tensor], number: int, exchange: Exchange = TORCH) -> str:
    """What output `number` of a port is instead of the reference's, in words; empty if that is not known.

    Of a recording's, what needs torch to be computed is not.
    """
    own, reference = exchange.read(actual[number]), expected[number]
    if exchange is not TORCH:
        return _find_other(own, expected, number)
    if reference.ndim > 1 and not own.is_floating_point() and reference.is_floating_point():
        classes = (logits.argmax(1) for logits in _at_size_of(reference, own))
        if any(_are_nearly_all_equal(own, one) for one in classes):
            return "its output is the class of each pixel, the reference's are logits"
    if another := _find_other(own, expected, number):
        return another
    if own.shape != reference.shape or own.dtype != reference.dtype or not own.is_floating_point():
        return ""
    for what, make in NOT_LOGITS.items():
        if reference.ndim > 1 and compare(own, make(reference)):
            return f"its output is {what}"
    return ""


def _find_other(own: Any, expected: Sequence[Any], number: int) -> str:
    for other, tensor in enumerate(expected):
        if other != number and compare(own, tensor):
            return f"its output {number + 1} is the reference's output {other + 1}: they are in another order"
    return ""


def _whose_is_resized(actual: Any, expected: Tensor, size: list[int]) -> str:
    """Whose output (N, C, H, W) has the images' size while the other's has not."""
    shapes = [int(side) for side in actual.shape], list(expected.shape)
    if not len(shapes[0]) == len(shapes[1]) == 4 or shapes[0][:2] != shapes[1][:2] or shapes[0] == shapes[1]:
        return ""
    return "port" if shapes[0][2:] == size else "reference" if shapes[1][2:] == size else ""


def _by_meaning(keys: Sequence[str]) -> tuple[int, ...] | None:
    """The order of outputs whose keys say which are auxiliary; None if they do not."""
    auxiliary = [any(word in key.lower() for word in AUXILIARY) for key in keys]
    if not any(auxiliary) or all(auxiliary):
        return None
    return tuple(sorted(range(len(keys)), key=lambda number: auxiliary[number]))


def _by_both_meanings(actual: list[Any], keys: Sequence[str], names: Sequence[str]) -> list[Any]:
    """Two dictionaries of other keys: main outputs against main ones, where both say which those are."""
    ours, theirs = _by_meaning(keys), _by_meaning(names)
    if ours is None or theirs is None:
        return actual
    found = list(actual)
    for number, place in zip(ours, theirs, strict=True):
        found[place] = actual[number]
    return found


def _by_agreement(own: Sequence[Any], expected: Sequence[Tensor]) -> tuple[int, ...] | None:
    """The order in which all outputs agree, if there is one."""
    for order in permutations(range(len(own))):
        pairs = zip([own[number] for number in order], expected, strict=True)
        if all(one.shape == two.shape and one.dtype == two.dtype and compare(one, two) for one, two in pairs):
            return order
    return None


def _at_size_of(logits: Tensor, classes: Tensor) -> Iterator[Tensor]:
    """Logits (N, K, h, w), and as they are if resized to the size of `classes` (N, H, W) or (N, 1, H, W)."""
    yield logits
    if logits.ndim == 4 and classes.ndim > 2:
        for corners in (False, True):
            yield _resize_exactly(logits, [int(side) for side in classes.shape[-2:]], corners=corners)


def _are_nearly_all_equal(left: Tensor, right: Tensor) -> bool:
    """All but a pixel in a thousand, at which rounding decides."""
    if left.numel() != right.numel():
        return False
    return float((left.reshape(-1).long() == right.reshape(-1)).double().mean()) >= 0.999


def _in_order(actual: Sequence[Any], actual_names: Sequence[str], names: Sequence[str]) -> list[Any]:
    """By key, where both are dictionaries of the same keys; what one key holds several of, in order."""
    if not all(names) or sorted(actual_names) != sorted(names):
        return list(actual)
    places = sorted(range(len(names)), key=lambda number: names[number])
    own = sorted(range(len(names)), key=lambda number: actual_names[number])
    number_at = dict(zip(places, own, strict=True))
    return [actual[number_at[place]] for place in range(len(names))]


def _resize(tensor: Any, size: list[int], corners: bool, exactly: bool) -> Any:
    if exactly:
        return _resize_exactly(tensor, size, corners=corners)
    exchange = ARRAYS if isinstance(tensor, np.ndarray) else TORCH
    return resize_by_paddle(tensor, size, corners=corners, exchange=exchange)


def _resize_exactly(logits: Any, size: list[int], *, corners: bool) -> Any:
    if isinstance(logits, np.ndarray):
        rows, columns = (_weights(*sides, corners=corners) for sides in zip(logits.shape[2:], size, strict=True))
        return np.asarray(rows @ logits.astype(np.float64) @ columns.T).astype(logits.dtype)
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=corners)


def _weights(small: int, large: int, *, corners: bool) -> Any:
    """The matrix (large, small) that resizes one axis linearly."""
    if corners:
        places = np.linspace(0, small - 1, large)
    else:
        places = np.maximum((np.arange(large) + 0.5) * small / large - 0.5, 0)
    lower = np.minimum(places.astype(int), small - 1)
    share = places - lower
    matrix = np.zeros((large, small))
    np.add.at(matrix, (np.arange(large), lower), 1 - share)
    np.add.at(matrix, (np.arange(large), np.minimum(lower + 1, small - 1)), share)
    return matrix
