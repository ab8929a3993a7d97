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
from torch import Tensor

from models_torch.losses import resize_logits
from parity.engine.conventions import AUXILIARY
from twins.tensors import flatten, list_keys, refill

if TYPE_CHECKING:
    from parity.certify.sides import Side
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
class Form:
    """How one side gives its outputs in train mode: `template` with tensors in it, and their sizes (H, W).

    `align_corners` is that of the port's own resize to the images; None where its sizes are the reference's.
    """

    template: Any
    sizes: tuple[tuple[int, ...], ...]
    align_corners: bool | None = None

    def make(self, tensors: Sequence[Any]) -> Any:
        """Outputs as the network gives them, of tensors in the reference's order."""
        placed = dict(zip(_order(self.template), tensors, strict=True))
        return refill(self.template, iter([placed[number] for number in range(len(placed))]))

    def bring(self, expected: Sequence[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """The reference's outputs (N, K, h, w), in the graph, at the size that the port gives for images of `size`."""
        if self.align_corners is None:
            return list(expected)
        return [resize_logits(output, size, align_corners=self.align_corners) for output in expected]


def find_forms(subject: Subject) -> tuple[Form, Form]:
    """The forms of the reference's and the port's outputs in train mode, by one pass of each."""
    images = subject.batch(0)[0]
    reference, port = subject.torch(), subject.paddle()
    outputs = []
    for side in (reference, port):
        side.share_dropout(subject.seed)
        side.train()
        with side.without_gradients():
            outputs.append(side.model(side.tensor(images)))
    expected, actual = in_order(outputs[0]), in_order(outputs[1])
    sizes = [tuple(tuple(map(int, tensor.shape[2:])) for tensor in tensors) for tensors in (expected, actual)]
    resized = len(actual) > 0 and sizes[0] != sizes[1] and set(sizes[1]) == {tuple(images.shape[2:])}
    corners = _find_corners(port, expected[0], actual[0]) if resized else None
    return Form(outputs[0], sizes[0]), Form(outputs[1], sizes[1], corners)


def _find_corners(port: Side, expected: Tensor, actual: Any) -> bool:
    """Which resize of the reference's main logits is the nearer to the port's."""
    own = port.array(actual)
    size = own.shape[2], own.shape[3]
    distances = {
        corners: float(np.abs(resize_logits(expected, size, align_corners=corners).numpy() - own).max())
        for corners in (False, True)
    }
    return min(distances, key=lambda corners: distances[corners])
