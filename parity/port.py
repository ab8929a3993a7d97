"""A user's own Paddle port: importing it, giving it weights, and checking the weights it has."""

from __future__ import annotations

import importlib
import json
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converter import read_checkpoint
from parity.errors import ParityInputError
from parity.modules import ModuleInfo, paddle_modules, torch_modules
from parity.pairing import Pairing, pair_modules
from parity.parameters import match_tensors

Array = np.ndarray[Any, Any]
OWN = (Path(__file__).parent, Path(__file__).parents[1] / "models_torch")
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
CALLERS = {("port.py", "load_port"), ("follow.py", "run"), ("follow.py", "wrapped")}
"""File and function of ours that call the port's code."""


def load_port(spec: str) -> Any:
    """The layer that `package.module:function` returns, importable from here or from the environment.

    Raises ParityInputError if it cannot be imported, called, or is no `paddle.nn.Layer`.
    """
    module_name, _, function_name = spec.partition(":")
    if not module_name or not function_name:
        raise ParityInputError(f"--port {spec}: write it as package.module:function")
    from models_paddle import paddle

    sys.path.insert(0, str(Path.cwd()))
    try:
        with naming_port(spec, "build"):
            layer = getattr(importlib.import_module(module_name), function_name)()
    finally:
        sys.path.pop(0)
    if not isinstance(layer, paddle.nn.Layer):
        raise ParityInputError(f"--port {spec}: returned a {type(layer).__name__}, not a paddle.nn.Layer")
    return layer


@contextmanager
def naming_port(spec: str | None, action: str) -> Iterator[None]:
    """Within, what the port's code raises is a ParityInputError that names it and the line. All else stays as it is.

    `spec` is None where there is no port. `action` says what was done with it.
    """
    try:
        yield
    except Exception as error:  # what a port may raise is anybody's guess; what is not its own goes on
        frame = _innermost(error)
        if spec is None or _is_ours(frame):
            raise
        text = " ".join(str(error).split())
        path = Path(frame.filename)
        where = "" if _is_under(path, OWN) else f", {path.name}:{frame.lineno}"
        raise ParityInputError(f"--port {spec}: cannot {action} it ({type(error).__name__}: {text}{where})") from error


def _innermost(error: Exception) -> traceback.FrameSummary:
    """The innermost frame that is neither Python's nor an installed package's: whose code it was."""
    frames = traceback.extract_tb(error.__traceback__)
    return next(frame for frame in reversed(frames) if not _is_foreign(Path(frame.filename)))


def _is_foreign(path: Path) -> bool:
    if _is_under(path, OWN):  # it may be installed too
        return False
    return not path.is_file() or "site-packages" in path.parts or _is_under(path, [STANDARD_LIBRARY])


def _is_ours(frame: traceback.FrameSummary) -> bool:
    """Whether this package failed, or torch's network, rather than what it calls the port from."""
    path = Path(frame.filename)
    return _is_under(path, OWN) and (path.name, frame.name) not in CALLERS


def _is_under(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


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
