"""Converted weights, their recurrence and the name that tells which published file they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cityscapes.errors import DatasetError
from cityscapes.labels import NUM_CLASSES
from cityscapes.networks import Network, PaddleNetwork, TorchNetwork
from converter.files import Reading, file_digest
from converter.manifest import manifest_path, read_manifest
from converter.names import count
from families import PublishedFigure
from twins.build import build_paddle, build_torch, set_paddle_device
from twins.weights import WeightPair, read_pair

DEFAULT_RECURRENCE = 2
CITYSCAPES = "Cityscapes val"


@dataclass(frozen=True, kw_only=True)
class Port:
    """A user's own port, built and loaded: it is evaluated in the place of the Paddle twin."""

    name: str
    weights: Path
    network: Network


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Of one or both frameworks. `file_name` is the original file's, by which published figures are known."""

    pair: WeightPair
    torch: Path | None
    paddle: Path | None
    recurrence: int
    file_name: str
    port: Port | None = None

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.pair.plan.family.name

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 by framework."""
        paths = {"torch": self.torch, "paddle": self.paddle, "port": self.port and self.port.weights}
        return {name: file_digest(path) for name, path in paths.items() if path}

    def published(self, *, multi_scale: bool) -> list[dict[str, Any]]:
        """The figures that these weights may have reached: `label`, `miou` (percent) and `source`."""
        figures = self.pair.plan.family.published_for(self.file_name, depth=self.pair.plan.depth)
        known = [
            (figure, figure.multi_scale if multi_scale else figure.miou) for figure in figures if self._fits(figure)
        ]
        return [
            {"label": figure.label, "miou": miou, "source": figure.source} for figure, miou in known if miou is not None
        ]

    def _fits(self, figure: PublishedFigure) -> bool:
        return figure.recurrence == self.recurrence and figure.dataset == CITYSCAPES

    def build(self, device: str, *, local_rank: int = 0) -> dict[str, Network]:
        """The networks, torch first, on "cpu" or this process's "gpu"."""
        networks: dict[str, Network] = {}
        if self.torch is not None:
            if device == "gpu":
                _choose_torch_gpu(local_rank)
            networks["torch"] = TorchNetwork(build_torch(self.pair, recurrence=self.recurrence, device=device))
        if self.paddle is not None:
            set_paddle_device(device)
            networks["paddle"] = PaddleNetwork(build_paddle(self.pair, recurrence=self.recurrence))
        if self.port is not None:
            networks["paddle"] = self.port.network
        return networks


def read_weights(
    torch: Path | None,
    paddle: Path | None,
    *,
    family: str | None,
    recurrence: int | None,
    reading: Reading | None = None,
    port: Port | None = None,
) -> Weights:
    """Read one file, or a checkpoint and its conversion, as `reading` says.

    Raises InputError, ParityInputError or DatasetError.
    """
    first, last = torch or paddle, paddle or torch
    if first is None or last is None:
        raise DatasetError("nothing to evaluate: give --torch FILE, --paddle FILE or both")
    pair = read_pair(first, last, family=family, reading=reading)
    plan = pair.plan
    if not plan.family.architecture.heads:
        raise DatasetError(f"{first}: a backbone without a segmentation head cannot be evaluated")
    if plan.num_classes != NUM_CLASSES:
        raise DatasetError(f"{first}: has {count(plan.num_classes, 'class')}, Cityscapes has {NUM_CLASSES}")
    recurrences = (recurrence, pair.recurrence, DEFAULT_RECURRENCE)
    return Weights(
        pair=pair,
        torch=torch,
        paddle=paddle,
        recurrence=next(value for value in recurrences if value is not None),
        file_name=torch.name if torch else _original_name(last),
        port=port,
    )


def _original_name(path: Path) -> str:
    manifest = manifest_path(path)
    return str(read_manifest(manifest).source.get("name", path.name)) if manifest.exists() else path.name


def _choose_torch_gpu(local_rank: int) -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
