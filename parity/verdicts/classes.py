"""Which class the outputs choose, pixel by pixel: what a reader of a segmentation sees of a difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from parity.verdicts.comparison import to_array


@dataclass(frozen=True, kw_only=True)
class Classes:
    """How many of the `total` pixels of one output, on one input, are given the same class by both networks."""

    output: int
    input: str
    dtype: str
    equal: int
    total: int


def count_equal(actual: Any, expected: Any) -> tuple[int, int] | None:
    """Equal greatest channels, and all: of logits (N, K, …), tensors or arrays.

    None for what is none, or of different shapes.
    """
    if actual.shape != expected.shape or expected.ndim < 2 or expected.shape[1] < 2 or 0 in expected.shape:
        return None
    if not all("float" in str(tensor.dtype) for tensor in (actual, expected)):
        return None
    chosen = [to_array(tensor).argmax(axis=1) for tensor in (actual, expected)]
    equal = chosen[0] == chosen[1]
    return int(equal.sum()), int(equal.size)
