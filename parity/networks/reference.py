"""The torch side: a user's own module, and giving it the weights of a file under its own keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converter import Reading, read_checkpoint
from parity.errors import ParityInputError
from parity.networks.user import call_function
from twins.lazy import Tensor, nn, torch

Array = np.ndarray[Any, Any]
OPTION = "--reference"
COUNTER = "num_batches_tracked"
LISTED = 3


def load_reference(spec: str) -> nn.Module:
    """The `torch.nn.Module` that `package.module:function` or `path/file.py:function` returns.

    Raises ParityInputError if it cannot be imported or called, or returns something else.
    """
    module = call_function(spec, OPTION)
    if not isinstance(module, nn.Module):
        raise ParityInputError(f"{OPTION} {spec}: returned a {type(module).__name__}, not a torch.nn.Module")
    return module


def load_reference_weights(module: nn.Module, path: Path, reading: Reading | None = None) -> None:
    """Fill every parameter and buffer of `module` from a checkpoint, under the module's own keys.

    BatchNorm's counters of batches, which files of old versions lack, may be missing. Raises ParityInputError, with
    what is missing, unexpected, of another shape and of another kind of number, unless all else fits.
    """
    tensors = read_checkpoint(path, reading).tensors
    own = module.state_dict()
    faults = list_misfits(own, tensors)
    if any(faults.values()):
        listed = "; ".join(f"{len(names)} {what}{_some(names)}" for what, names in faults.items())
        raise ParityInputError(f"{path}: does not fit the reference: {listed}; nothing was loaded")
    module.load_state_dict({name: torch.from_numpy(np.array(tensors[name])) for name in own if name in tensors}, False)


def list_misfits(own: Mapping[str, Tensor], tensors: Mapping[str, Array]) -> dict[str, list[str]]:
    """The four ways in which a file's `tensors` may not fit a state dict: what is wrong -> names."""
    both = [name for name in own if name in tensors]
    return {
        "missing": [n for n in own if n not in tensors and not n.endswith(COUNTER)],
        "unexpected": [n for n in tensors if n not in own and not n.endswith(COUNTER)],
        "of another shape": [
            f"{n} {tensors[n].shape} for {tuple(own[n].shape)}" for n in both if tensors[n].shape != tuple(own[n].shape)
        ],
        "of another kind of number": [
            f"{n} {tensors[n].dtype}" for n in both if (tensors[n].dtype.kind == "f") != own[n].is_floating_point()
        ],
    }


def _some(names: list[str]) -> str:
    more = f", … {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f" ({', '.join(names[:LISTED])}{more})" if names else ""
