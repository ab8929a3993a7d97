"""Whether a port has the reference's weights, layer by layer, and giving them to one that has none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import ParityInputError
from parity.networks.modules import ModuleInfo, paddle_modules, torch_modules
from parity.pairing.parameters import match_tensors
from parity.pairing.propose import Pairing, pair_modules

Array = np.ndarray[Any, Any]


def read_mapping(path: Path) -> dict[str, str]:
    """A JSON object of torch path -> Paddle path. Raises ParityInputError if the file is not one."""
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParityInputError(f"{path}: not a readable JSON file ({error})") from None
    if not isinstance(mapping, dict) or not all(isinstance(target, str) for target in mapping.values()):
        raise ParityInputError(f"{path}: not a JSON object of torch path to Paddle path")
    return mapping


def match_port(torch_model: Any, layer: Any, mapping: Mapping[str, str] | None) -> tuple[Pairing, dict[str, Any]]:
    """Pair the port with the torch network and compare their weights; returns the pairing and a summary.

    A port none of whose weights is the torch network's has not been loaded: it is given them, layer by
    layer, by the pairing. The summary says so ("copied").
    """
    ours, theirs = torch_modules(torch_model), paddle_modules(layer)
    pairing = pair_modules(ours, theirs, mapping)
    different, equal = _compare(ours, theirs, pairing)
    copied = bool(different) and not equal
    if copied:
        _copy(ours, theirs, pairing)
        different, equal = _compare(ours, paddle_modules(layer), pairing)
    return pairing, {"tensors": len(equal) + len(different), "different": different, "copied": copied}


def _compare(
    ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo], pairing: Pairing
) -> tuple[list[str], list[str]]:
    """Names of the tensors of paired layers that differ from torch's in any bit, and of those that are equal.

    A BatchNorm's fresh statistics are the same everywhere, so constant tensors do not count as equal.
    """
    different, equal = [], []
    for path, name, expected, actual in _tensors(ours, theirs, pairing):
        label = f"{path}.{name}" if path else name
        if actual is None or actual.shape != expected.shape or actual.tobytes() != expected.tobytes():
            different.append(label)
        elif expected.size == 1 or expected.min() != expected.max():
            equal.append(label)
    return different, equal


def _copy(ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo], pairing: Pairing) -> None:
    for (path, name), (target, own) in match_tensors(ours, theirs, pairing.pairs).items():
        layer, expected = theirs[target], ours[path].tensors[name]
        if _like_torch(layer, own).shape == expected.shape:
            value = expected.T if _is_transposed(layer, own) else expected
            getattr(layer.module, layer.names[own]).set_value(np.ascontiguousarray(value))


def _tensors(
    ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo], pairing: Pairing
) -> list[tuple[str, str, Array, Array | None]]:
    """(torch path, name, torch's tensor, Paddle's laid out like it or None) of paired layers and matched parameters."""
    matched = match_tensors(ours, theirs, pairing.pairs)
    paired = {path for path, target in pairing.pairs.items() if ours[path].kind == theirs[target].kind}
    found = []
    for path, info in ours.items():
        for name, expected in info.tensors.items():
            target, own = matched.get((path, name), ("", ""))
            if own or path in paired:
                found.append((path, name, expected, _like_torch(theirs[target], own) if own else None))
    return found


def _like_torch(layer: ModuleInfo, name: str) -> Array:
    return layer.tensors[name].T if _is_transposed(layer, name) else layer.tensors[name]


def _is_transposed(layer: ModuleInfo, name: str) -> bool:
    return layer.kind == "linear" and name == "weight"
