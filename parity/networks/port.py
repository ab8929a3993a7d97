"""A user's own Paddle port: importing it, and giving it the weights of a file."""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converter import read_checkpoint
from parity.errors import ParityInputError

OWN = (Path(__file__).parents[1], Path(__file__).parents[2] / "models_torch")
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
        load_weights(layer, dict(read_checkpoint(path).named_as(layer.state_dict())))
    except ValueError as error:
        raise ParityInputError(f"{path}: does not fit the port: {error}") from None
