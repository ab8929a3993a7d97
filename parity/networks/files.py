"""Whose weights were compared: a file's SHA-256, or that of a network's own tensors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from converter.files import file_digest
from parity.networks.recorded import Recording

TENSORS = "tensors"
"""What was hashed where there is no file: names and values, in the order of the names."""


def describe_weights(network: Any, path: Path | None, name: str) -> dict[str, str]:
    """`{"name", "sha256", "of"}` of what a network was loaded from: `path`, or, without one, itself, called `name`."""
    if isinstance(network, Recording):
        return dict(network.index["weights"])
    if path is not None:
        return {"name": path.name, "sha256": file_digest(path), "of": "file"}
    return {"name": name, "sha256": digest_tensors(network.state_dict()), "of": TENSORS}


def digest_tensors(state: dict[str, Any]) -> str:
    """SHA-256 over the names and the bytes of a state dict of either framework."""
    total = hashlib.sha256()
    for name in sorted(state):
        total.update(name.encode())
        total.update(_bytes(state[name]))
    return total.hexdigest()


def _bytes(tensor: Any) -> bytes:
    """Of a tensor, bfloat16 too, which NumPy lacks."""
    dense = tensor.detach().cpu()
    if hasattr(dense, "untyped_storage"):
        import torch

        return bytes(dense.contiguous().reshape(-1).view(torch.uint8).numpy())
    return np.ascontiguousarray(dense.numpy()).tobytes()
