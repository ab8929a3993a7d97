"""The engine: decode, predict with every network, count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cityscapes.ahead import map_ahead
from cityscapes.confusion import Array, count_confusion
from cityscapes.errors import EvaluationError
from cityscapes.folders import make_folder
from cityscapes.labels import to_ids
from cityscapes.layout import Decoded, Sample, decode
from cityscapes.networks import Network
from cityscapes.pictures import draw_picture
from cityscapes.predict import Views, choose_classes, predict
from cityscapes.protocols import Protocol, prepare
from cityscapes.totals import Totals
from converter.files.atomic import staged

PREDICTION_ENDING = "_pred_labelIds.png"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is evaluated, and how. `networks` are by framework; with two, torch comes first."""

    networks: Mapping[str, Network]
    protocol: Protocol
    views: Views = field(default_factory=Views)
    save_predictions: Path | None = None
    pictures: bool = False


def evaluate(
    task: Task,
    samples: Sequence[tuple[int, Sample]],
    totals: Totals,
    *,
    workers: int = 2,
    after: Callable[[Totals], None] = lambda totals: None,
) -> None:
    """Count `samples`, each with its place in the split, into `totals`, leaving out those already counted.

    Decoding and preprocessing run `workers` threads ahead. Calls `after` when an image is done. Raises
    DatasetError for a damaged file and EvaluationError for logits that are not finite.
    """

    def load(item: tuple[int, Sample]) -> tuple[int, Decoded, Tensor]:
        decoded = decode(item[1])
        return item[0], decoded, load_image(decoded, task.protocol)

    for index, decoded, image in map_ahead(load, samples[totals.images :], workers=workers):
        _count(task, index, decoded, image, totals)
        totals.images += 1
        after(totals)


def load_image(decoded: Decoded, protocol: Protocol) -> Tensor:
    """Network input (1, 3, H', W') float32, on the CPU."""
    return torch.from_numpy(prepare(decoded.pixels, protocol)).float()


def _count(task: Task, index: int, decoded: Decoded, image: Tensor, totals: Totals) -> None:
    height, width = decoded.label.shape
    scores, classes = [], []
    for framework, network in task.networks.items():
        found = predict(network, image, task.protocol, task.views)[0, :, :height, :width]
        chosen, finite = choose_classes(found)
        if not finite:
            raise EvaluationError(f"{decoded.name}: logits of {framework} are not finite; check the weights")
        totals.confusion[framework] += count_confusion(chosen.numpy(), decoded.label)
        scores.append(found)
        classes.append(chosen)
    flipped = None if totals.agreement is None else totals.agreement.add(decoded.name, scores, classes).numpy()
    arrays = {name: chosen.numpy() for name, chosen in zip(task.networks, classes, strict=True)}
    if task.save_predictions is not None:
        for name, array in arrays.items():
            save_prediction(task.save_predictions / name / f"{decoded.name}{PREDICTION_ENDING}", array)
    if task.pictures:
        totals.add_picture(draw_picture(index, decoded, arrays, flipped))


def save_prediction(path: Path, train_ids: Array) -> None:
    """Write classes (H, W) as a PNG of label ids, as the benchmark's server and cityscapesScripts read them."""
    make_folder(path.parent)
    with staged(path) as (temporary,):
        Image.fromarray(np.ascontiguousarray(to_ids(train_ids))).save(temporary, "PNG")
