"""Checkpoints to convert, and how two of them are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converter import InputError, Plan, read_checkpoint
from converter.operations import OPERATIONS
from converter.plan import expected_tensors
from families import FAMILIES, get_family
from models_paddle.weights import build_uninitialised, load_weights
from tests.golden.weights import make_tensor

Array = np.ndarray[Any, Any]

NETWORKS = tuple(name for name, family in FAMILIES.items() if family.architecture.heads)
"""The families whose checkpoints are whole networks."""


def source_shapes(family: str, *, depth: int, num_classes: int = 19) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every tensor of a complete checkpoint; batch counters are ()."""
    assignments, shapes = expected_tensors(get_family(family), depth=depth, num_classes=num_classes)
    return {
        item.source: () if item.target is None else OPERATIONS[item.operation].source_shape(shapes[item.target])
        for item in assignments
    }


def make_tensors(family: str = "official", *, num_classes: int = 19, dtype: str = "float32") -> dict[str, Array]:
    """A complete checkpoint of depth 18 with about one negative scale in ten."""
    assignments, _ = expected_tensors(get_family(family), depth=18, num_classes=num_classes)
    shapes = source_shapes(family, depth=18, num_classes=num_classes)
    return {item.source: make_tensor(item.target or item.source, shapes[item.source], dtype, 0) for item in assignments}


def without(tensors: Mapping[str, Array], *, ending: str | Iterable[str]) -> dict[str, Array]:
    """`tensors` but for the keys that end so."""
    endings = (ending,) if isinstance(ending, str) else tuple(ending)
    return {key: value for key, value in tensors.items() if not key.endswith(endings)}


def save_pth(path: Path, tensors: Mapping[str, Array], *, zipped: bool = True) -> Path:
    """`torch.save` the arrays as tensors."""
    state = {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    return path


def load_into_twin(plan: Plan, written: dict[str, Array]) -> None:
    """What a conversion's `load_check` really is."""
    model = build_uninitialised(plan.family.name, num_classes=plan.num_classes, recurrence=2, depth=plan.depth)
    load_weights(model, written)


def as_array(tensor: torch.Tensor) -> Array:
    """The tensor as NumPy has it: bfloat16 as float32."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_same_bits(actual: Array, expected: Array, name: str = "") -> None:
    assert isinstance(actual, np.ndarray), name
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape), name
    assert actual.tobytes() == expected.tobytes(), name


def assert_same_tensors(actual: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    assert set(actual) == set(expected)
    for name, array in expected.items():
        assert_same_bits(actual[name], array, name)


def refusal(path: Path) -> str:
    """The one-line message with which `path` is refused."""
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.splitlines() == [message]
    assert str(path) in message
    return message


def read_or_refuse(path: Path) -> None:
    """Read every byte of `path`'s tensors, or see it refused; nothing else may happen."""
    try:
        tensors = read_checkpoint(path).tensors
    except InputError as error:
        message = str(error)
        assert message.splitlines() == [message]
        assert str(path) in message
        return
    for array in tensors.values():
        if array.nbytes < 1 << 20:
            array.tobytes()
