"""A user's own Paddle port: importing it, giving it weights, and checking the weights it has."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converter import read_checkpoint
from parity.errors import ParityInputError
from parity.modules import ModuleInfo, paddle_modules, torch_modules
from parity.pairing import Pairing, pair_modules

Array = np.ndarray[Any, Any]


def load_port(spec: str) -> Any:
    """The layer that `package.module:function` returns, importable from here or from the environment.

    Raises ParityInputError if it cannot be imported, called, or is no `paddle.nn.Layer`.
    """
    from models_paddle import paddle

    module_name, _, function_name = spec.partition(":")
    if not module_name or not function_name:
        raise ParityInputError(f"--port {spec}: write it as package.module:function")
    sys.path.insert(0, str(Path.cwd()))
    try:
        layer = getattr(importlib.import_module(module_name), function_name)()
    except Exception as error:  # whatever the user's own code raises; the message names it
        text = " ".join(str(error).split())
        raise ParityInputError(f"--port {spec}: cannot build it ({type(error).__name__}: {text})") from error
    finally:
        sys.path.pop(0)
    if not isinstance(layer, paddle.nn.Layer):
        raise ParityInputError(f"--port {spec}: returned a {type(layer).__name__}, not a paddle.nn.Layer")
    return layer


def load_port_weights(layer: Any, path: Path) -> None:
    """Fill every parameter and buffer of `layer` from a `.pdparams`. Raises ParityInputError unless all fit."""
    from models_paddle import load_weights

    try:
        load_weights(layer, dict(read_checkpoint(path).tensors))
    except ValueError as error:
        raise ParityInputError(f"{path}: does not fit the port: {error}") from None


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
    for path, name, expected, actual in _tensors(ours, theirs, pairing):
        if actual is not None and actual.shape == expected.shape:
            layer = theirs[pairing.pairs[path]]
            value = expected.T if layer.kind == "linear" and name == "weight" else expected
            own = counterparts(ours[path], layer)[name]
            getattr(layer.module, layer.names[own]).set_value(np.ascontiguousarray(value))


def _tensors(
    ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo], pairing: Pairing
) -> list[tuple[str, str, Array, Array | None]]:
    """(torch path, name, torch's tensor, Paddle's laid out like it or None) of every paired layer."""
    found = []
    for path, target in pairing.pairs.items():
        layer = theirs[target]
        if layer.kind != ours[path].kind:
            continue
        names = counterparts(ours[path], layer)
        for name, expected in ours[path].tensors.items():
            actual = layer.tensors[names[name]] if name in names else None
            if actual is not None and layer.kind == "linear" and name == "weight":
                actual = actual.T
            found.append((path, name, expected, actual))
    return found


def counterparts(ours: ModuleInfo, theirs: ModuleInfo) -> dict[str, str]:
    """torch's tensor name -> Paddle's: the same name, else the next unclaimed one of the same shape."""
    names = {name: name for name in ours.tensors if name in theirs.tensors}
    for name, tensor in ours.tensors.items():
        free = [n for n, t in theirs.tensors.items() if n not in names.values() and t.shape == tensor.shape]
        if name not in names and free:
            names[name] = free[0]
    return names
