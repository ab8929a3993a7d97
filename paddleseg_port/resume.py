"""Whether `--resume_model` can go on: PaddleSeg itself leaves out what does not fit, or fails in the middle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddleseg.cvlibs import SegBuilder
from paddleseg.utils import logger

from converter.errors import InputError
from converter.names import count
from paddleseg_port.files import State, read_state
from paddleseg_port.model import load_model

WEIGHTS, OPTIMISER = "model.pdparams", "model.pdopt"
SCHEDULE, MASTERS = "LR_Scheduler", "master_weights"
"""What an optimiser's state has beside its tensors: the learning rate's, and float32 copies of float16 weights."""
COUNTER = "last_epoch"
"""In the schedule's state: the updates that were made."""


def find_folder(name: str) -> Path:
    """The folder to resume from, by a name that ends with its number of updates, as PaddleSeg reads it.

    Raises InputError if it is not one that training saved.
    """
    given, folder = Path(name), Path(name).resolve()
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{given}: no {WEIGHTS} in it; name an iter_N folder")
    if not (folder / OPTIMISER).is_file():
        raise InputError(
            f"{given}: no {OPTIMISER} in it, only weights; name an iter_N folder, or start anew from the weights with "
            f"--opts model.pretrained={given / WEIGHTS}"
        )
    updates = _schedule(read_state(folder / OPTIMISER), given / OPTIMISER).get(COUNTER)
    found = re.search(r"_([0-9]+)$", folder.name)
    if found is None or int(found[1]) != updates:
        said = "does not say" if found is None else "says otherwise"
        raise InputError(f"{given}: was saved after {updates} updates, which its name {said}; rename it iter_{updates}")
    return folder


def check_resume(folder: Path, builder: SegBuilder, model: nn.Layer, config: Path) -> None:
    """Raise InputError unless `folder` holds this config's whole model and the state of its optimiser."""
    updates = int(folder.name.rpartition("_")[2])
    if updates >= builder.config.iters:
        raise InputError(
            f"{folder}: has {updates} updates; {config} makes {builder.config.iters}, give more as --iters N"
        )
    path = folder / OPTIMISER
    state = read_state(path)
    _check_schedule(_schedule(state, path), builder.lr_scheduler.state_dict(), path)
    _check_optimiser(state, builder, model, path)
    load_model(model, folder / WEIGHTS)  # last: it has to undo the update of the probe


def _schedule(state: State, path: Path) -> State:
    schedule = state.get(SCHEDULE)
    if not isinstance(schedule, dict):
        raise InputError(f"{path}: has no {SCHEDULE}; it is not the state that training saves, name an iter_N folder")
    return schedule


def _check_schedule(found: State, expected: State, path: Path) -> None:
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())
        raise InputError(
            f"{path}: is of another learning-rate schedule than the config's (they differ in {', '.join(odd)}); "
            "resume with the config that it was trained with"
        )
    for name, value in expected.items():
        if isinstance(value, int | float) and not isinstance(found[name], int | float):
            raise InputError(f"{path}: {SCHEDULE}'s {name} is a {type(found[name]).__name__}, not a number")


def _check_optimiser(state: State, builder: SegBuilder, model: nn.Layer, path: Path) -> None:
    optimiser = type(builder.optimizer).__name__
    parameters = {parameter.name: parameter for parameter in model.parameters() if not parameter.stop_gradient}
    suffixes = dict(_probe(builder, model))
    expected = {
        name + suffix: tuple(parameter.shape) if has_shape else None
        for name, parameter in parameters.items()
        for suffix, has_shape in suffixes.items()
    }
    found = {name: value for name, value in state.items() if name not in (SCHEDULE, MASTERS)}
    unknown = sorted(found.keys() - expected.keys())
    lacking = sorted(expected.keys() - found.keys())
    if unknown or (lacking and not found):
        raise InputError(
            f"{path}: is of another optimiser or model than the config's, {optimiser}: it "
            + (f"holds {unknown[0]}" if unknown else f"lacks {lacking[0]}")
            + "; resume with the config that it was trained with"
        )
    for name, value in found.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise InputError(f"{path}: {name} is not a tensor of floats")
        if expected[name] not in (None, value.shape):
            raise InputError(f"{path}: {name} is {value.shape}, the config's model needs {expected[name]}")
    if lacking:
        logger.warning(f"{path}: lacks {count(len(lacking), 'tensor')}, first {lacking[0]}")


def _probe(builder: SegBuilder, model: nn.Layer) -> Iterator[tuple[str, bool]]:
    """What the config's optimiser appends to a parameter's name for each tensor of its state, and whether that tensor
    has the parameter's shape: one parameter is updated by another such optimiser."""
    parameter = next(parameter for parameter in model.parameters() if not parameter.stop_gradient)
    twin = SegBuilder(builder.config)
    twin.__dict__["model"] = model
    with paddle.utils.unique_name.guard():  # names have numbers, which the real optimiser must find free
        optimiser: Any = twin.optimizer
        parameter.grad = paddle.zeros_like(parameter)
        optimiser.step()
        optimiser.clear_grad()
    for name, value in optimiser.state_dict().items():
        if name.startswith(parameter.name):
            yield name.removeprefix(parameter.name), tuple(value.shape) == tuple(parameter.shape)
