"""Stand-in checkpoints: a family's layout filled with deterministic values that make mistakes visible.

No published checkpoint can be shipped. One scale in ten is negative where the family folds them,
gamma is not zero, running statistics are not (0, 1), and the last scale of each block is small, so that
activations stay of order one through a hundred layers.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from converter.operations import OPERATIONS
from converter.plan import expected_tensors
from families import get_family

Array = np.ndarray[Any, Any]

ATTENTION_SCALE = 0.03
"""Of query and key weights: energies of order one, so that attention is neither uniform nor one-hot."""


def make_state_dict(
    family: str = "official", *, seed: int = 0, num_classes: int = 19, depth: int = 101
) -> dict[str, Array]:
    """A complete checkpoint of `family`: its own keys -> float32 arrays (int64 counters), a function of the seed."""
    assignments, shapes = expected_tensors(get_family(family), depth=depth, num_classes=num_classes)
    state: dict[str, Array] = {}
    for item in assignments:
        if item.target is None:
            state[item.source] = np.asarray(60000, dtype=np.int64)
            continue
        operation = OPERATIONS[item.operation]
        value = _make_tensor(item.target, shapes[item.target], seed, signed=item.operation == "fold")
        state[item.source] = value.reshape(operation.source_shape(shapes[item.target]))
    return state


def _make_tensor(name: str, shape: tuple[int, ...], seed: int, *, signed: bool) -> Array:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    module, _, leaf = name.rpartition(".")
    if leaf == "gamma":
        value = np.full(shape, 0.7)
    elif len(shape) == 4:
        scale = ATTENTION_SCALE if module.endswith(("attention.query", "attention.key")) else 1.0
        value = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale * np.sqrt(2.0 / np.prod(shape[1:])))
    elif leaf == "running_mean":
        value = 0.2 * rng.standard_normal(shape)
    elif leaf == "running_var":
        value = rng.uniform(0.5, 1.5, shape)
    elif leaf == "bias":
        value = 0.1 * rng.standard_normal(shape)
    else:
        value = rng.uniform(0.6, 1.4, shape) * (0.25 if module.endswith("expand.norm") else 1.0)
        if signed:
            value *= np.where(rng.random(shape) < 0.1, -1.0, 1.0)
    return value.astype(np.float32)


def save_state_dict(path: Path, state: dict[str, Array]) -> None:
    """Save `state` as torch would: a zip `.pth` of tensors."""
    import torch

    torch.save({key: torch.from_numpy(value) for key, value in state.items()}, path)


if __name__ == "__main__":
    save_state_dict(Path(sys.argv[1]), make_state_dict(*sys.argv[2:3]))
