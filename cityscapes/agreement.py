"""Where both frameworks choose another class, and whether rounding explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from cityscapes.labels import NAMES
from cityscapes.networks import TorchNetwork
from cityscapes.predict import Views, predict
from cityscapes.protocols import Protocol
from twins.tolerances import FLOAT32_NOISE_RATIO

LISTED = 10
"""Flips kept one by one, those with the greatest margins."""


@dataclass(frozen=True, kw_only=True)
class Flip:
    """One pixel with another class in Paddle than in torch. `margin` is the greater of what each framework's
    scores put between the two classes."""

    image: str
    row: int
    column: int
    torch: str
    paddle: str
    margin: float


@dataclass
class Agreement:
    """Pixels whose class differs. A flip is explained if its margin is at most `noise`, in the scores' unit."""

    noise: float
    differing: int = 0
    unexplained: int = 0
    worst: list[Flip] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.unexplained == 0

    def add(self, image: str, scores: Sequence[Tensor], classes: Sequence[Tensor]) -> Tensor:
        """Count one image: torch's and Paddle's scores (K, H, W) and classes (H, W). Returns (H, W) bool: flipped."""
        flipped = classes[0] != classes[1]
        rows, columns = flipped.nonzero(as_tuple=True)
        if len(rows) == 0:
            return flipped
        chosen = [chosen[flipped].long() for chosen in classes]
        margins = torch.maximum(
            _margin(scores[0], rows, columns, chosen[0], chosen[1]),
            _margin(scores[1], rows, columns, chosen[1], chosen[0]),
        )
        self.differing += len(rows)
        # Not `margins > noise`: a NaN is not explained.
        self.unexplained += int((~(margins <= self.noise)).sum())
        for index in margins.argsort(descending=True)[:LISTED].tolist():
            self.worst.append(
                Flip(
                    image=image,
                    row=int(rows[index]),
                    column=int(columns[index]),
                    torch=NAMES[chosen[0][index]],
                    paddle=NAMES[chosen[1][index]],
                    margin=float(margins[index]),
                )
            )
        self._sort()
        return flipped

    def merge(self, other: Agreement) -> None:
        """Add what another process found."""
        self.differing += other.differing
        self.unexplained += other.unexplained
        self.worst += other.worst
        self._sort()

    def _sort(self) -> None:
        self.worst = sorted(self.worst, key=lambda flip: (-flip.margin, flip.image, flip.row, flip.column))[:LISTED]

    def to_json(self) -> dict[str, Any]:
        """Everything, by field."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Agreement:
        """What `to_json` wrote."""
        return cls(**{**record, "worst": [Flip(**flip) for flip in record["worst"]]})


def measure_noise(network: TorchNetwork, image: Tensor, protocol: Protocol, views: Views) -> float:
    """The greatest margin that rounding explains: FLOAT32_NOISE_RATIO times how far torch's own float32 scores of
    `image` (1, 3, H, W) are from its float64 ones, the bar of `ccnet-parity`."""
    rounded = predict(network, image, protocol, views)
    network.model.double()
    exact = predict(network, image, protocol, views)
    network.model.float()
    return FLOAT32_NOISE_RATIO * float(exact.sub_(rounded).abs_().max())


def _margin(scores: Tensor, rows: Tensor, columns: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """How much more `chosen` scores than `other` at each pixel, float64."""
    picked = [
        scores[classes.to(scores.device), rows.to(scores.device), columns.to(scores.device)]
        for classes in (chosen, other)
    ]
    return (picked[0].double() - picked[1].double()).cpu()
