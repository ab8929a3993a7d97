"""What the port gives in train mode, and how it stands to what the reference gives.

PaddleSeg's models return a list with logits at the images' size, and auxiliary ones in train mode only; others return
dictionaries. Criteria take the outputs as their network gives them; comparisons take tensors in the reference's order,
brought to the port's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from parity.certify.dropout import functions_drop_nothing
from parity.certify.gate import Check
from parity.certify.limits import EXACT
from parity.engine.conventions import AUXILIARY
from recipe.interpolation import interpolation_matrix
from twins.tensors import flatten, list_keys, refill

if TYPE_CHECKING:
    from parity.certify.subject import Subject

Array = np.ndarray[Any, Any]


def in_order(outputs: Any) -> list[Any]:
    """The tensors of a network's outputs, the main ones before the auxiliary ones where their keys say which is one."""
    tensors = flatten(outputs)
    return [tensors[number] for number in _order(outputs)]


def _order(outputs: Any) -> list[int]:
    keys = list_keys(outputs)
    return sorted(range(len(keys)), key=lambda number: any(word in keys[number].lower() for word in AUXILIARY))


@dataclass(frozen=True)
class Resize:
    """A network's own bilinear resize of its logits. `rounded`: Paddle's, which keeps source positions as float32."""

    align_corners: bool
    rounded: bool

    def __call__(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """(N, K, h, w) -> (N, K, *size), in the graph."""
        make = _paddles_matrix if self.rounded else interpolation_matrix
        rows, columns = (
            torch.from_numpy(make(source, target, align_corners=self.align_corners)).to(logits)
            for source, target in zip(logits.shape[2:], size, strict=True)
        )
        return rows @ logits @ columns.mT


RESIZES = tuple(Resize(align_corners, rounded) for rounded in (False, True) for align_corners in (False, True))


def _paddles_matrix(source: int, target: int, *, align_corners: bool) -> Array:
    """(target, source), float64: what Paddle's own resize makes of each source position alone."""
    from models_paddle import paddle

    units = paddle.to_tensor(np.eye(source)[None, :, :, None])
    resized = paddle.nn.functional.interpolate(units, (target, 1), mode="bilinear", align_corners=align_corners)
    return np.asarray(resized.numpy()[0, :, :, 0].T.copy())


@dataclass(frozen=True)
class Form:
    """How one side gives its outputs in train mode: `template` with tensors in it, and their sizes (H, W).

    `resize` is the port's own, to the images' size; None where its sizes are the reference's.
    """

    template: Any
    sizes: tuple[tuple[int, ...], ...]
    resize: Resize | None = None

    @property
    def align_corners(self) -> bool | None:
        """Of the port's own resize, where there is one."""
        return None if self.resize is None else self.resize.align_corners

    def make(self, tensors: Sequence[Any]) -> Any:
        """Outputs as the network gives them, of tensors in the reference's order."""
        placed = dict(zip(_order(self.template), tensors, strict=True))
        return refill(self.template, iter([placed[number] for number in range(len(placed))]))

    def bring(self, expected: Sequence[Tensor], size: Sequence[int]) -> list[Tensor]:
        """The reference's outputs (N, K, h, w), in the graph, at the size that the port gives for images of `size`."""
        return list(expected) if self.resize is None else [self.resize(output, size) for output in expected]

    def check_corners(self, expected: bool, what: str) -> list[Check]:
        """Of a port that resizes its logits by itself: as the reference does for `what`?"""
        if self.resize is None:
            return []
        detail = (
            f"align_corners {self.resize.align_corners} in the port's network, {expected} in the reference's {what}"
        )
        return [
            Check(
                name="resize of logits",
                measured=float(self.resize.align_corners != expected),
                limit=EXACT,
                reason=f"the {what} is of the logits at the labels' size",
                detail=detail,
            )
        ]


def find_forms(subject: Subject) -> tuple[Form, Form]:
    """The forms of the reference's and the port's outputs in train mode, by one pass of each."""
    images = subject.batch(0)[0]
    reference, port = subject.torch(layers=False), subject.paddle(layers=False)
    outputs, inner = [], list[Any]()
    hooks = [
        layer.register_forward_post_hook(lambda _, given, out: inner.append(out)) for layer in port.model.sublayers()
    ]
    for side in (reference, port):
        side.train()
        with side.without_gradients(), functions_drop_nothing():
            outputs.append(side.model(side.tensor(images)))
    for hook in hooks:
        hook.remove()
    expected, actual = in_order(outputs[0]), in_order(outputs[1])
    sizes = [tuple(tuple(map(int, tensor.shape[2:])) for tensor in tensors) for tensors in (expected, actual)]
    resized = len(actual) > 0 and sizes[0] != sizes[1] and set(sizes[1]) == {tuple(images.shape[2:])}
    logits = (
        [torch.from_numpy(port.array(one)) for one in flatten(inner) if _may_become(one, actual[0])] if resized else []
    )
    resize = _find_resize(port.array(actual[0]), logits or [expected[0].cpu()]) if resized else None
    return Form(outputs[0], sizes[0]), Form(outputs[1], sizes[1], resize)


def _may_become(tensor: Any, output: Any) -> bool:
    """Whether a layer's output may be the logits that were resized to the network's `output`."""
    shape, whole = tuple(tensor.shape), tuple(output.shape)
    return len(shape) == 4 and shape[:2] == whole[:2] and shape[2] < whole[2] and shape[3] < whole[3]


def _find_resize(actual: Array, logits: Sequence[Tensor]) -> Resize:
    """Which resize of one of `logits` is the nearest to the port's: of its own layers' or, where none is known, of the
    reference's."""
    own = torch.from_numpy(actual)

    def distance(resize: Resize) -> float:
        return min(float((resize(one, own.shape[2:]) - own).abs().max()) for one in logits)

    return min(RESIZES, key=distance)
