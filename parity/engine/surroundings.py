"""What is around both models while they are compared: mode, precision, kernels, and what Paddle would do to a port."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from recipe.interpolation import interpolation_matrix
from twins.lazy import nn, torch


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    modules = model.sublayers(include_self=True) if hasattr(model, "sublayers") else list(model.modules())
    modes = [module.training for module in modules]
    model.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training


@contextmanager
def native_kernels() -> Iterator[None]:
    """Within, torch convolves with its own kernels: oneDNN rounds float32 up to ten times as coarsely."""
    enabled = bool(torch.backends.mkldnn.enabled)
    _enable_onednn(False)
    try:
        yield
    finally:
        _enable_onednn(enabled)


def _enable_onednn(enabled: bool) -> None:
    with warnings.catch_warnings():  # of TF32 on Intel's GPUs
        warnings.simplefilter("ignore")
        torch.backends.mkldnn.set_flags(_enabled=enabled)


@contextmanager
def as_written() -> Iterator[None]:
    """Within, `paddle.jit.to_static` does nothing, and SyncBatchNorm, which has no kernel for a CPU, is BatchNorm."""
    from models_paddle import paddle

    synchronised = paddle.nn.SyncBatchNorm
    own = {name: synchronised.__dict__.get(name) for name in ("forward", "_check_input_dim", "_check_data_format")}
    paddle.jit.enable_to_static(False)
    synchronised.forward = paddle.nn.BatchNorm2D.forward
    synchronised._check_input_dim = synchronised._check_data_format = lambda layer, of: None
    try:
        yield
    finally:
        paddle.jit.enable_to_static(True)
        for name, value in own.items():
            if value is None:
                delattr(synchronised, name)
            else:
                setattr(synchronised, name, value)


@contextmanager
def exact_in_float64(note: Callable[[str], None] = lambda said: None) -> Iterator[None]:
    """Within, Paddle's functions that have float32 constants are exact in float64, as torch's are (`EXACT`).

    For a reference that cannot be run with Paddle's constants. `note` is told of each call that was made so.
    """
    from models_paddle import paddle

    operators = paddle._C_ops
    own = {name: getattr(operators, name) for name in EXACT}
    for name, operator in own.items():
        setattr(operators, name, _exact_where_known(name, operator, note))
    try:
        yield
    finally:
        for name, operator in own.items():
            setattr(operators, name, operator)


def _exact_where_known(name: str, operator: Callable[..., Any], note: Callable[[str], None]) -> Callable[..., Any]:
    @wraps(operator)
    def asking(features: Any, *args: Any) -> Any:
        made = operator(features, *args)
        exact = EXACT[name](features, made, args) if _dtype_name(features) == "float64" else None
        if exact is None:
            return made
        note(EXACT_NOTES[name])
        return exact

    return asking


def _exact_hardsigmoid(features: Any, made: Any, args: tuple[Any, ...]) -> Any:
    """By a sixth, where its slope is Paddle's own."""
    if np.float32(args[0]) != np.float32(0.1666667):
        return None
    return (features / _number(6) + _number(args[1])).clip(0, 1)


def _number(value: float) -> Any:
    """As a tensor: of a plain number, Paddle 2 would take a float32."""
    from models_paddle import paddle

    return paddle.to_tensor(np.array(value, np.float64))


def _exact_resize(features: Any, made: Any, args: tuple[Any, ...]) -> Any:
    """At the exact positions of images (N, C, H, W); None for another layout, way or factor."""
    from models_paddle import paddle

    layout, scale, corners, mode = args[3], args[7], args[9], args[10]
    sizes = list(zip(features.shape[2:], made.shape[2:], strict=True))
    whole = all(abs(source * factor - target) < WHOLE for (source, target), factor in zip(sizes, scale, strict=False))
    if layout != "NCHW" or not whole or not (corners or mode == 0):
        return None
    rows, columns = (
        paddle.to_tensor(interpolation_matrix(source, target, align_corners=corners)) for source, target in sizes
    )
    return paddle.matmul(paddle.matmul(rows, features), columns, transpose_y=True)


def _exact_leaky_relu(features: Any, made: Any, args: tuple[Any, ...]) -> Any:
    """By the slope as it is given; None where this Paddle has it so by itself."""
    from models_paddle import paddle

    exact = paddle.where(features > 0, features, features * _number(args[0]))
    return None if np.array_equal(exact.numpy(), made.numpy()) else exact


EXACT: dict[str, Callable[..., Any]] = {
    "hardsigmoid": _exact_hardsigmoid,
    "bilinear_interp": _exact_resize,
    "leaky_relu": _exact_leaky_relu,
}
"""Paddle's operator -> what it makes of its first tensor exactly, given what it made and its other arguments."""
EXACT_NOTES = {
    "hardsigmoid": "Hardsigmoid's slope a sixth for 0.1666667, Paddle's own",
    "bilinear_interp": "bilinear resizing at exact positions for Paddle's own, which are float32",
    "leaky_relu": "LeakyReLU's slope as it is written, which this Paddle keeps as a float32",
}
WHOLE = 1e-6
"""Of a pixel: sizes that a factor gives without rounding."""


@contextmanager
def cast(reference: nn.Module | None, port: Any, dtype: str) -> Iterator[None]:
    """Both models in `dtype`, and afterwards in the dtype of their first parameter before."""
    from models_paddle import paddle

    own = None if reference is None else dtype_of(reference.parameters())
    ports_own, default = dtype_of(port.parameters()), paddle.get_default_dtype()
    if reference is not None:
        reference.to(getattr(torch, dtype))
    _to_paddle_dtype(port, dtype)
    paddle.set_default_dtype(dtype)
    try:
        yield
    finally:
        paddle.set_default_dtype(default)
        if reference is not None and own:
            reference.to(getattr(torch, own))
        if ports_own:
            _to_paddle_dtype(port, ports_own)


def _to_paddle_dtype(layer: Any, dtype: str) -> None:
    """`layer` in `dtype`. Paddle would copy every tensor, also to the dtype that it has."""
    from models_paddle import paddle

    if all(_dtype_name(tensor) == dtype for tensor in (*layer.parameters(), *layer.buffers()) if _is_floating(tensor)):
        return
    layers = layer.sublayers(include_self=True)
    counts = any(not _is_floating(tensor) for tensor in layer.buffers())
    if counts or any(isinstance(part, paddle.nn.layer.rnn.RNNBase) for part in layers):
        _cast_tensors(layer, dtype)  # Paddle's own cast fails on a buffer that it keeps empty there, and casts indices
    else:
        layer.to(dtype=dtype)


def _cast_tensors(layer: Any, dtype: str) -> None:
    from models_paddle import paddle

    with paddle.no_grad():
        for tensor in (*layer.parameters(), *layer.buffers()):
            if _is_floating(tensor) and tensor._is_initialized():
                cast = tensor.cast(dtype)
                tensor.value().get_tensor()._share_data_with(cast.value().get_tensor())


def _is_floating(tensor: Any) -> bool:
    return "float" in _dtype_name(tensor)


def dtype_of(parameters: Any) -> str | None:
    first = next((parameter for parameter in parameters if _is_floating(parameter)), None)
    return None if first is None else _dtype_name(first)


def _dtype_name(tensor: Any) -> str:
    return str(tensor.dtype).rpartition(".")[2].lower()
