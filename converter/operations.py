"""What is done to a tensor on its way: small operations, each with its inverse.

`apply` computes in float64 where it computes at all; rounding to the target's dtype comes after.
`record` keeps what the operation and the rounding lose, so that `invert` is bit-exact.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
Record = dict[str, Any]

FOLD_EPSILON = np.float64(np.float32(1e-5))
"""InPlaceABN's eps, a C float whatever the dtype (mapillary/inplace_abn, abn.py and src/inplace_abn.cpp)."""


class Operation(Protocol):
    """One way of turning a source tensor into a canonical one."""

    def source_shape(self, target_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the source tensor whose result has `target_shape`."""

    def apply(self, source: Array) -> Array:
        """The canonical tensor, not yet rounded to the target's dtype."""

    def record(self, source: Array, target: Array) -> Record:
        """What `invert` needs besides the rounded `target`, as JSON; empty if nothing."""

    def assume(self, target: Array) -> Record:
        """The simplest record, for a `target` whose own was never made: nothing lost, no sign negative."""

    def invert(self, target: Array, record: Record, dtype: np.dtype[Any]) -> Array:
        """The source tensor, in its `dtype`."""


class Copy:
    """The tensor as it is."""

    def source_shape(self, target_shape: tuple[int, ...]) -> tuple[int, ...]:
        return target_shape

    def apply(self, source: Array) -> Array:
        return source

    def record(self, source: Array, target: Array) -> Record:
        return {}

    def assume(self, target: Array) -> Record:
        return {}

    def invert(self, target: Array, record: Record, dtype: np.dtype[Any]) -> Array:
        return target.astype(dtype)


class Expand(Copy):
    """0-d to shape (1,)."""

    def source_shape(self, target_shape: tuple[int, ...]) -> tuple[int, ...]:
        return ()

    def apply(self, source: Array) -> Array:
        return source.reshape([1])

    def invert(self, target: Array, record: Record, dtype: np.dtype[Any]) -> Array:
        return target.reshape([]).astype(dtype)


class Fold(Copy):
    """InPlaceABN's scale to BatchNorm's: |weight| + eps, in float64.

    The signs are lost; so are the last bits of a |weight| that the sum cannot hold (all of them where
    |weight| is far below eps). Both are recorded: signs as packed bits, and the index and exact value of
    each element that subtracting eps does not give back.
    """

    def apply(self, source: Array) -> Array:
        return np.abs(source.astype(np.float64)) + FOLD_EPSILON

    def record(self, source: Array, target: Array) -> Record:
        signs = _encode(np.packbits(np.signbit(source)))
        plain = self.invert(target, {"signs": signs}, source.dtype)
        inexact = np.flatnonzero(
            plain.view(_bits(source.dtype)) != np.ascontiguousarray(source).view(_bits(source.dtype))
        )
        record: Record = {"signs": signs, "negative": int(np.signbit(source).sum())}
        if inexact.size:
            record["inexact"] = {
                "indices": _encode(inexact.astype("<u4")),
                "values": _encode(source[inexact].astype(source.dtype.newbyteorder("<"))),
            }
        return record

    def assume(self, target: Array) -> Record:
        return {"signs": _encode(np.packbits(np.zeros(target.size, bool)))}

    def invert(self, target: Array, record: Record, dtype: np.dtype[Any]) -> Array:
        packed = _decode(record["signs"], "u1")
        if len(packed) != -(-target.size // 8):
            raise ValueError(f"{target.size} scales have {8 * len(packed)} signs")
        signs = np.unpackbits(packed, count=target.size).astype(bool)
        magnitude = np.maximum(target.astype(np.float64) - FOLD_EPSILON, 0.0).astype(dtype)
        source = np.copysign(magnitude, np.where(signs, -1.0, 1.0).astype(dtype))
        if "inexact" in record:
            indices = _decode(record["inexact"]["indices"], "<u4")
            source[indices] = _decode(record["inexact"]["values"], dtype.newbyteorder("<").str)
        return source


class Transpose(Copy):
    """A matrix the other way round: torch's `Linear` keeps (out, in), Paddle's (in, out)."""

    def source_shape(self, target_shape: tuple[int, ...]) -> tuple[int, ...]:
        return target_shape[::-1]

    def apply(self, source: Array) -> Array:
        return source.T

    def invert(self, target: Array, record: Record, dtype: np.dtype[Any]) -> Array:
        return target.T.astype(dtype)


OPERATIONS: Mapping[str, Operation] = {"copy": Copy(), "expand": Expand(), "fold": Fold(), "transpose": Transpose()}
"""By name, as family tables and manifests have them. `drop` is not one: a dropped tensor has no target."""


def _bits(dtype: np.dtype[Any]) -> str:
    return f"u{dtype.itemsize}"


def _encode(array: Array) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _decode(text: str, dtype: str) -> Array:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype)
