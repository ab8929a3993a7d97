"""Each operation's inverse gives back every bit of the source."""

from __future__ import annotations

import json
from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.operations import FOLD_EPSILON, OPERATIONS
from tests.converter.checkpoints import Array, assert_same_bits

WIDTHS = {"float16": 16, "float32": 32, "float64": 64}
HOLDS = [(source, target) for source in WIDTHS for target in WIDTHS if WIDTHS[target] >= WIDTHS[source]]
"""Every pair of dtypes of which the second holds each value of the first."""


def awkward(dtype: str) -> Array:
    """Values at which sums round: zeros, denormals, borders of binades, neighbours of eps, the greatest.

    In float16, every finite value there is.
    """
    if dtype == "float16":
        every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
        return every[np.isfinite(every)]
    info = np.finfo(dtype)
    powers = np.ldexp(1.0, np.arange(-60, 13)).astype(dtype)
    epsilon = np.array([FOLD_EPSILON, FOLD_EPSILON / 2, FOLD_EPSILON / 3, 0.1, 1 / 3], dtype)
    limits = np.array([0.0, info.smallest_subnormal, info.tiny, info.max], dtype)
    inner = np.concatenate([powers, epsilon])
    positive = np.concatenate([inner, np.nextafter(inner, powers[-1]), np.nextafter(inner, limits[0]), limits])
    return np.concatenate([positive, -positive])


def there_and_back(operation: str, source: Array, target_dtype: str) -> Array:
    """As a conversion does it, with the record as JSON in between."""
    chosen = OPERATIONS[operation]
    target = chosen.apply(source).astype(target_dtype)
    record = json.loads(json.dumps(chosen.record(source, target)))
    return chosen.invert(target, record, source.dtype)


def finite_arrays(dtype: str) -> st.SearchStrategy[Array]:
    values = st.one_of(
        st.floats(allow_nan=False, allow_infinity=False, width=WIDTHS[dtype]),
        st.floats(0, 2**-9, width=32),  # near eps
    )
    return hnp.arrays(dtype, st.integers(0, 40), elements=values)


@pytest.mark.parametrize("operation", ["copy", "fold", "transpose"])
@pytest.mark.parametrize(("source_dtype", "target_dtype"), [pair for pair in HOLDS if "float16" not in pair])
@given(data=st.data())
def test_any_values_there_and_back(operation: str, source_dtype: str, target_dtype: str, data: st.DataObject) -> None:
    source = data.draw(finite_arrays(source_dtype))
    assert_same_bits(there_and_back(operation, source, target_dtype), source)


@pytest.mark.parametrize("operation", ["copy", "fold"])
@pytest.mark.parametrize(("source_dtype", "target_dtype"), HOLDS)
def test_awkward_values_there_and_back(operation: str, source_dtype: str, target_dtype: str) -> None:
    source = awkward(source_dtype)
    assert_same_bits(there_and_back(operation, source, target_dtype), source)
    assert_same_bits(there_and_back(operation, source[::-3], target_dtype), source[::-3])


@pytest.mark.parametrize(("source_dtype", "target_dtype"), HOLDS)
def test_expand_there_and_back(source_dtype: str, target_dtype: str) -> None:
    for value in awkward(source_dtype)[::97]:
        source = np.array(value)
        assert_same_bits(there_and_back("expand", source, target_dtype), source)


@given(source=finite_arrays("float32"))
def test_fold_is_the_sum_in_float64(source: Array) -> None:
    expected = np.abs(source.astype(np.float64)) + np.float64(np.float32(1e-5))
    assert_same_bits(OPERATIONS["fold"].apply(source), expected)


def assert_rounded_once(source: Array) -> None:
    """No number of the source's dtype is nearer to the exact |w| + eps than the folded one."""
    source = source[np.abs(source) < np.finfo(source.dtype).max / 2]
    folded = OPERATIONS["fold"].apply(source).astype(source.dtype)
    above, below = (np.nextafter(folded, source.dtype.type(end)) for end in (np.inf, -np.inf))
    for value, *results in zip(*(map(float, array) for array in (source, folded, above, below)), strict=True):
        exact = Fraction(abs(value)) + Fraction(float(np.float32(1e-5)))
        distance, *others = (abs(Fraction(result) - exact) for result in results)
        assert distance <= min(others)


@given(source=finite_arrays("float32"))
def test_fold_rounds_once(source: Array) -> None:
    assert_rounded_once(source)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_fold_rounds_awkward_values_once(dtype: str) -> None:
    assert_rounded_once(awkward(dtype)[:: 11 if dtype == "float16" else 1])


def test_epsilon_is_the_c_float() -> None:
    assert FOLD_EPSILON == 9.999999747378752e-06


def test_what_fold_records() -> None:
    source = np.array([1.0, -2.0, -0.0, 1e-20], np.float32)
    fold = OPERATIONS["fold"]
    target = fold.apply(source).astype(np.float32)
    assert (target > 0).all()
    record = fold.record(source, target)
    assert record["negative"] == 2
    assert "inexact" in record  # 1e-20 vanishes beside eps
    exact = np.array([0.5], np.float64)
    assert "inexact" not in fold.record(exact, fold.apply(exact))


def test_a_lost_record_is_noticed() -> None:
    """With other signs, or without the inexact values, the way back is another tensor."""
    source = np.array([-1.0, 1e-20], np.float32)
    fold = OPERATIONS["fold"]
    target = fold.apply(source).astype(np.float32)
    record = fold.record(source, target)
    positive = fold.record(np.abs(source), target)
    assert fold.invert(target, positive, source.dtype)[0] == 1.0
    inexact_lost = fold.invert(target, {"signs": record["signs"]}, source.dtype)
    assert inexact_lost[0] == source[0]
    assert inexact_lost[1] != source[1]


@pytest.mark.parametrize(
    ("operation", "target_shape", "source_shape"),
    [("copy", (2, 3), (2, 3)), ("fold", (4,), (4,)), ("expand", (1,), ()), ("transpose", (2, 3), (3, 2))],
)
def test_shapes(operation: str, target_shape: tuple[int, ...], source_shape: tuple[int, ...]) -> None:
    chosen = OPERATIONS[operation]
    assert chosen.source_shape(target_shape) == source_shape
    assert chosen.apply(np.ones(source_shape, np.float32)).shape == target_shape
