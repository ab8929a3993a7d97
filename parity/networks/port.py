"""The Paddle side: a user's own layer, or what a PaddleSeg config builds, and giving it the weights of a file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from converter import read_checkpoint
from parity.errors import ParityInputError
from parity.networks.user import call_function, printing_to_stderr

OPTION = "--port"
WEIGHTS = (".pdparams", ".pdiparams", ".pth", ".pt", ".ckpt", ".bin", ".npz", ".npy", ".pkl", ".pickle", ".h5")
"""Endings of files that hold weights. A `.safetensors` is not opened by Python."""
LISTENING: list[list[None]] = []
"""Who is to be told of opened files."""


@dataclass(frozen=True)
class Port:
    """A Paddle layer, and whether its own code gave it weights; `notes` say what was done to build it."""

    layer: Any
    came_loaded: bool = False
    notes: tuple[str, ...] = ()


def build_port(spec: str) -> Port:
    """The `paddle.nn.Layer` that `package.module:function` or `path/file.py:function` returns.

    Raises ParityInputError if it cannot be imported or called, or returns something else.
    """
    from models_paddle import paddle

    with _noticing_loads() as loads:
        layer = call_function(spec, OPTION)
    if not isinstance(layer, paddle.nn.Layer):
        raise ParityInputError(f"{OPTION} {spec}: returned a {type(layer).__name__}, not a paddle.nn.Layer")
    return Port(layer, came_loaded=bool(loads))


def load_port(spec: str) -> Any:
    """The layer alone."""
    return build_port(spec).layer


def build_named(spec: str | None, config: Path | None) -> Any:
    """The layer that `spec` or else `config` names, in whatever state its own code leaves it."""
    if spec is not None:
        return load_port(spec)
    assert config is not None
    return build_config(config).layer


def build_worker(settings: Mapping[str, Any]) -> Any:
    """The layer that `settings` name by "port" or "config", in another process; None where they name none."""
    if settings["port"] is None and settings["config"] is None:
        return None
    return build_named(settings["port"], settings["config"] and Path(settings["config"]))


def build_config(path: Path) -> Port:
    """The model that PaddleSeg's own `Config` builds, without the weights that the config would download or load.

    Raises ParityInputError if PaddleSeg is not installed, InputError if it refuses the config.
    """
    if importlib.util.find_spec("paddleseg") is None:
        raise ParityInputError("--config: PaddleSeg is not installed; pip install 'paddleseg>=2.8,<2.9' 'numpy<2'")
    with printing_to_stderr(), only_logging_errors():
        return _build_config(path)


def _build_config(path: Path) -> Port:
    import paddleseg_port.components  # noqa: F401 - what a config may name
    from paddleseg_port.build import build_model, make_builder
    from paddleseg_port.files import guarded_files

    with guarded_files(downloads=False):
        builder = make_builder(path)
        model = builder.config.dic.get("model", {})
        parts = [part for part in (model, model.get("backbone")) if isinstance(part, dict) and part.get("pretrained")]
        named = [str(part.pop("pretrained")) for part in parts]
        notes = tuple(f"the config's pretrained {name} was not loaded" for name in named)
        return Port(build_model(builder, path), notes=notes)


@contextmanager
def only_logging_errors() -> Iterator[None]:
    """Within, PaddleSeg does not log the whole config it builds from."""
    from paddleseg.utils import logger

    kept, logger.log_level = logger.log_level, 0
    try:
        yield
    finally:
        logger.log_level = kept


def load_port_weights(layer: Any, path: Path) -> None:
    """Fill every parameter and buffer of `layer` from a `.pdparams`. Raises ParityInputError unless all fit."""
    from models_paddle import load_weights

    try:
        load_weights(layer, dict(read_checkpoint(path).named_as(layer.state_dict())))
    except ValueError as error:
        raise ParityInputError(f"{path}: does not fit the port: {error}") from None


@contextmanager
def _noticing_loads() -> Iterator[list[None]]:
    """Within, each call that gives a layer a state dict, and each file of weights that is opened, is noted."""
    from models_paddle import paddle

    layer, loads = paddle.nn.Layer, list[None]()
    names = [name for name in ("set_state_dict", "set_dict", "load_dict") if name in vars(layer)]
    own = {name: vars(layer)[name] for name in names}

    def noticing(function: Any) -> Any:
        def load(*args: Any, **kwargs: Any) -> Any:
            loads.append(None)
            return function(*args, **kwargs)

        return load

    for name, function in own.items():
        setattr(layer, name, noticing(function))
    _listen()
    LISTENING.append(loads)
    try:
        yield loads
    finally:
        LISTENING.remove(loads)
        for name, function in own.items():
            setattr(layer, name, function)


@cache
def _listen() -> None:
    """Once: Python's audit events tell of every file that is opened, and nobody can stop listening."""

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and LISTENING and str(arguments[0]).lower().endswith(WEIGHTS):
            for loads in LISTENING:
                loads.append(None)

    sys.addaudithook(hear)
