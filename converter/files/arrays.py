"""NumPy arrays as pickles hold them: the exact names that NumPy 1 and 2 write, and what stands for each."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from converter.files.unpickle import AllowedGlobals, one_line

PLAIN_KINDS = frozenset("biuf")
LONGEST_CODE = 16
"""Characters of a dtype's code; `datetime64[ns]` is not of the longest."""


class PickledDtype:
    """A NumPy dtype as pickled: its code, then (by BUILD) its byte order. None unless it is a number's."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or len(code) > LONGEST_CODE:
            raise pickle.UnpicklingError("an array's dtype without a code")
        self.code = code
        dtype = np.dtype(code)
        self.dtype = dtype if is_plain(dtype) else None

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">" and self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(">")


class PickledArray:
    """An array as pickled: `_reconstruct`, then BUILD with (version, shape, dtype, fortran, data).

    `array` is None, and `problem` says why, where it is none of numbers.
    """

    array: np.ndarray[Any, Any] | None = None
    problem = "a damaged array, not a tensor"

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        if dtype.dtype is None:
            self.problem = f"an array dtype {one_line(repr(dtype.code))} is not a number's"
            return
        self.array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is a number's, of at most 8 bytes."""
    return dtype.kind in PLAIN_KINDS and dtype.itemsize <= 8


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    result = PickledArray()
    result.__setstate__((1, shape, dtype, order == "F", data))
    return result


ARRAYS: AllowedGlobals = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): PickledArray for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
