"""Doing what a plan says, one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from converter.errors import ConverterError
from converter.operations import OPERATIONS
from converter.plan import Plan, Step, Tensors

Array = np.ndarray[Any, Any]
TargetDtype = Literal["float32", "float64", "float16", "keep"]
TARGET_DTYPES: tuple[str, ...] = get_args(TargetDtype)


def execute(plan: Plan, tensors: Tensors, *, dtype: str = "float32") -> Iterator[tuple[Step, str, Array]]:
    """Each transfer's step, canonical name and target array, in canonical order.

    Operations compute in float64; the result is rounded once, to `dtype` ("keep": the source tensor's).
    Raises ConverterError if a finite value does not fit `dtype`.
    """
    for step, name in plan.transfers:
        source = tensors[step.source]
        yield step, name, transfer(step, source, dtype=dtype)


def transfer(step: Step, source: Array, *, dtype: str) -> Array:
    """The target array of one step."""
    return cast(step.source, OPERATIONS[step.operation].apply(source), dtype=dtype, source=source)


def cast(key: str, array: Array, *, dtype: str, source: Array | None = None) -> Array:
    """`array` rounded to `dtype` ("keep": that of the `source` it was made from, itself by default)."""
    source = array if source is None else source
    wanted = source.dtype if dtype == "keep" else np.dtype(dtype)
    with np.errstate(over="ignore"):
        target = array.astype(wanted, copy=False)
    if wanted.itemsize < source.dtype.itemsize and not np.isfinite(target).all():
        raise ConverterError(
            f"{key}: values up to {np.abs(source).max():g} do not fit {wanted}; choose a wider --dtype"
        )
    return target
