"""What is around both models while they are compared: mode, precision, kernels, and what Paddle would do to a port."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
    if any(isinstance(part, paddle.nn.layer.rnn.RNNBase) for part in layer.sublayers(include_self=True)):
        _cast_tensors(layer, dtype)  # Paddle's own cast fails on a buffer that it keeps empty there
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
