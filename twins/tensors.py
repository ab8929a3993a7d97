"""What modules take and return, in either framework, as torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from twins.lazy import Tensor, torch

Array = np.ndarray[Any, Any]


def flatten(value: Any) -> list[Any]:
    """The tensors (of either framework) in nested tuples, lists, dictionaries and dataclasses, in order."""
    value = _opened(value)
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in flatten(item)]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in flatten(item)]
    return [value] if hasattr(value, "dtype") and hasattr(value, "shape") else []


def list_keys(value: Any) -> list[str]:
    """For each tensor of `flatten`, the key of the innermost dictionary, or the field of the dataclass, that it is in.

    Empty if it is in none.
    """
    value = _opened(value)
    if isinstance(value, dict):
        return [name or str(key) for key, item in value.items() for name in list_keys(item)]
    if isinstance(value, (tuple, list)):
        return [name for item in value for name in list_keys(item)]
    return [""] if hasattr(value, "dtype") and hasattr(value, "shape") else []


def refill(value: Any, tensors: Iterator[Any]) -> Any:
    """`value` with its tensors, in the order of `flatten`, replaced by the next of `tensors`."""
    if (opened := _opened(value)) is not value:
        filled = copy(value)
        for name, item in refill(opened, tensors).items():
            object.__setattr__(filled, name, item)  # of a frozen one, too
        return filled
    if isinstance(value, dict):
        return {key: refill(item, tensors) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [refill(item, tensors) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return next(tensors) if hasattr(value, "dtype") and hasattr(value, "shape") else value


def _opened(value: Any) -> Any:
    """The fields of a dataclass by name; anything else, such as a dictionary that is also one, as it is."""
    if not is_dataclass(value) or isinstance(value, (dict, type)):
        return value
    return {field.name: getattr(value, field.name) for field in fields(value)}


@dataclass(frozen=True)
class Exchange:
    """How Paddle's tensors and those that they are compared with become one another."""

    read: Callable[[Any], Any]
    """A Paddle tensor as one of the other kind."""
    write: Callable[[Any], Any]
    """One of the other kind as Paddle's, a copy."""


def paddle_to_torch(tensor: Any) -> Tensor:
    """A Paddle tensor as torch's, sharing its memory where it is dense."""
    from models_paddle import paddle

    if tensor.size == 0:
        return torch.from_numpy(tensor.numpy())
    dense = tensor.detach()
    if hasattr(dense, "is_contiguous") and not dense.is_contiguous():
        dense = dense.contiguous()
    shared = torch.utils.dlpack.from_dlpack(paddle.utils.dlpack.to_dlpack(dense))
    return shared.bool() if dense.dtype == paddle.bool else shared  # Paddle 2.6 hands booleans over as bytes


def torch_to_paddle(tensor: Tensor) -> Any:
    """A copy of a torch tensor as Paddle's, which neither framework's in-place operations can reach."""
    from models_paddle import paddle

    copy = tensor.detach().clone(memory_format=torch.contiguous_format)
    return paddle.utils.dlpack.from_dlpack(copy.__dlpack__())


def paddle_to_array(tensor: Any) -> Any:
    """A Paddle tensor's values as an array; bfloat16, which NumPy lacks, as float32."""
    from models_paddle import paddle

    array = tensor.detach().numpy()
    if tensor.dtype == paddle.bfloat16:  # kept as the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def array_to_paddle(array: Any) -> Any:
    """An array as a Paddle tensor of its own."""
    from models_paddle import paddle

    return paddle.to_tensor(np.array(array, order="C"))


def in_half_precision(values: Array, dtype: str) -> Array:
    """As float16 or bfloat16 keeps them, in float32; halves are rounded to even."""
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return kept.astype(np.uint32).view(np.float32)


TORCH = Exchange(paddle_to_torch, torch_to_paddle)
ARRAYS = Exchange(paddle_to_array, array_to_paddle)
"""Of a recording: no torch is needed."""
