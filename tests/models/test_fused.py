"""Paddle's written-out multiply-add against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import paddle
from hypothesis import given
from hypothesis import strategies as st

from models_paddle.fused import fused_multiply_add
from tests.references.twins import Array

MODERATE = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


def exact(x: float, y: float, z: float) -> float:
    """x * y + z, rounded once."""
    return float(Fraction(x) * Fraction(y) + Fraction(z))


def fused(*arguments: Array) -> Array:
    return fused_multiply_add(*(paddle.to_tensor(np.asarray(value, np.float64)) for value in arguments)).numpy()


@given(x=MODERATE, y=MODERATE, z=MODERATE)
def test_it_rounds_once(x: float, y: float, z: float) -> None:
    assert fused([x], [y], [z])[0] == exact(x, y, z)


def test_it_rounds_once_where_two_roundings_differ() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 2000))
    z = -x * y * (1 + generator.normal(size=2000) * 2.0 ** generator.integers(-52, 0, 2000))
    expected = np.array([exact(*values) for values in zip(x, y, z, strict=True)])
    assert np.array_equal(fused(x, y, z), expected)
    assert np.count_nonzero(x * y + z != expected) > 500


def test_it_broadcasts() -> None:
    x, y, z = np.full((2, 3, 1, 1), 1.5), np.arange(3.0).reshape(1, 3, 1, 1), np.full((1, 1, 4, 5), 0.25)
    assert np.array_equal(fused(x, y, z), x * y + z)
