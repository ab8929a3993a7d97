"""Each way of fooling a comparison is fed to it and must be refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parity.verdicts.comparison import PIECE, compare, rejudge

Array = np.ndarray


def compare_arrays(actual: Array, expected: Array, truth: Array | None = None, **options: float):
    tensors = [None if a is None else torch.from_numpy(np.ascontiguousarray(a)) for a in (actual, expected, truth)]
    return compare(*tensors, **options)


@pytest.fixture
def expected() -> Array:
    return np.random.default_rng(0).standard_normal((2, 3, 4, 5))


def test_equal_tensors_agree(expected):
    result = compare_arrays(expected.copy(), expected)
    assert result
    assert result.max_abs == 0


def test_what_is_equal_stays_so_whatever_the_rounding(expected):
    result = compare_arrays(expected.astype("f4"), expected.astype("f4"), expected)
    assert rejudge(result, 1e-7) == result


def test_one_element_off_is_found_at_its_index(expected):
    actual = expected.copy()
    actual[1, 2, 3, 4] += 1e-8
    result = compare_arrays(actual, expected)
    assert not result
    assert result.worst_index == (1, 2, 3, 4)
    assert result.max_abs == pytest.approx(1e-8, rel=1e-6)
    assert "limit 1e-10" in result.reason


def test_required_tolerance_is_the_smallest_that_passes(expected):
    actual = expected.copy()
    actual[0, 0, 0, 0] += 1e-6
    needed = compare_arrays(actual, expected).required_tolerance
    assert compare_arrays(actual, expected, limit=needed)
    assert not compare_arrays(actual, expected, limit=needed * 0.999)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda a: a[:, :, ::-1], "differs"),  # the same mean
        (lambda a: a.reshape(2, 3, 5, 4), "shape"),
        (lambda a: a[:, :1], "shape"),  # would broadcast
        (lambda a: a.astype(np.float32), "dtype"),
        (lambda a: np.where(a == a.max(), np.nan, a), "NaN"),
        (lambda a: np.where(a == a.max(), np.inf, a), "NaN or infinite"),
        (lambda a: np.full_like(a, 3.0), "constant"),
    ],
)
def test_mistakes_are_refused(expected, spoil, said):
    result = compare_arrays(spoil(expected), expected)
    assert not result
    assert said in result.reason


def test_nan_on_both_sides_is_no_agreement(expected):
    expected[0, 0, 0, 0] = np.nan
    assert not compare_arrays(expected.copy(), expected)


def test_constant_on_both_sides_is_no_agreement():
    ones = np.ones((2, 3))
    assert "constant" in compare_arrays(ones, ones).reason


def test_empty_is_no_agreement():
    assert "empty" in compare_arrays(np.ones((0, 3)), np.ones((0, 3))).reason


@given(st.floats(0.1, 15.9), st.floats(16.1, 1e6))
def test_float32_is_judged_against_torchs_own_rounding(ordinary, excessive):
    truth = np.random.default_rng(1).standard_normal((4, 50))
    rounding = np.random.default_rng(2).standard_normal(truth.shape) * 1e-3
    expected = (truth + rounding).astype(np.float32)
    assert compare_arrays((truth + ordinary * rounding).astype(np.float32), expected, truth)
    result = compare_arrays((truth + excessive * rounding).astype(np.float32), expected, truth)
    assert not result
    assert result.noise_ratio == pytest.approx(excessive, rel=1e-2)


def test_exact_torch_leaves_a_noise_floor():
    truth = np.random.default_rng(3).standard_normal((4, 50)).astype(np.float32).astype(np.float64)
    expected = truth.astype(np.float32)
    assert compare_arrays(np.nextafter(expected, np.float32(np.inf)), expected, truth)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, PIECE - 1, PIECE, PIECE + 5])
@pytest.mark.parametrize("side", [0, 1])
def test_not_finite_is_found_in_every_piece(value, where, side):
    arrays = [np.random.default_rng(4).standard_normal(PIECE + 6) for _ in range(2)]
    arrays[side][where] = value
    assert "NaN or infinite" in compare_arrays(*arrays).reason


def test_figures_over_many_pieces_are_those_of_the_whole():
    rng = np.random.default_rng(5)
    expected = rng.standard_normal((3, PIECE // 2))
    actual = expected + 1e-12 * rng.standard_normal(expected.shape)
    result = compare_arrays(actual, expected)
    difference = np.abs(actual - expected)
    assert result.max_abs == difference.max()
    assert result.worst_index == np.unravel_index(difference.argmax(), difference.shape)
    assert result.mean_abs == pytest.approx(difference.mean())
    assert result.relative == pytest.approx(difference.max() / np.sqrt(np.mean(expected**2)))
