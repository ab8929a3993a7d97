"""Twins built in either precision, and what their modules return while they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import paddle
import torch

import models_paddle
import models_torch
from converter import to_paddle
from tests.references.twins import Array, Twin, as_array

PACKAGES: dict[str, ModuleType] = {"torch": models_torch, "paddle": models_paddle}

Probe = tuple[str, int]
"""Module path and call index."""


@contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """New parameters of both frameworks are of `dtype`."""
    before = torch.get_default_dtype(), paddle.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    paddle.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before[0])
        paddle.set_default_dtype(before[1])


def build_twin(framework: str, family: str, tensors: Mapping[str, Array], dtype: str, **size: int) -> Twin:
    """The network of `family`, made in `dtype`, with canonical `tensors`."""
    package = PACKAGES[framework]
    with default_dtype(dtype):
        model = package.build_uninitialised(family, **size)
    rename = str if framework == "torch" else to_paddle
    package.load_weights(model, {rename(name): np.array(value) for name, value in tensors.items()})
    return Twin(framework, model)


def module_at(model: Any, path: str) -> Any:
    """The module at a dotted `path`, in either framework."""
    for name in path.split("."):
        model = getattr(model, name)
    return model


@contextmanager
def probed(twin: Twin, paths: Iterable[str]) -> Iterator[dict[Probe, Array]]:
    """A dictionary that fills with the output of every call of the modules at `paths`."""
    found: dict[Probe, Array] = {}

    def keep(path: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            call = sum(known == path for known, _ in found)
            found[path, call] = as_array(output)

        return hook

    register = "register_forward_hook" if twin.framework == "torch" else "register_forward_post_hook"
    hooks = [getattr(module_at(twin.model, path), register)(keep(path)) for path in paths]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
