"""Float64 multiply-add with one rounding, which Paddle lacks and torch's BatchNorm kernel uses."""

from __future__ import annotations

from paddle import Tensor

SPLITTER = 2.0**27 + 1


def fused_multiply_add(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """x * y + z rounded (almost always) once; float64 tensors that broadcast.

    The product's rounding error is recovered by Dekker's splitting, the sum's by Knuth's two-sum.
    """
    product = x * y
    total = product + z
    z_share = total - product
    sum_error = (product - (total - z_share)) + (z - z_share)
    return total + (sum_error + _product_error(x, y, product))


def _product_error(x: Tensor, y: Tensor, product: Tensor) -> Tensor:
    x_high, x_low = _split(x)
    y_high, y_low = _split(y)
    return ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low


def _split(x: Tensor) -> tuple[Tensor, Tensor]:
    scaled = x * SPLITTER
    high = scaled - (scaled - x)
    return high, x - high
