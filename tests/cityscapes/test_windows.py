"""Sliding windows cover every pixel, where the official evaluation puts them."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cityscapes.windows import coverage, stride_of, window_starts

OVERLAPS = st.fractions(0, Fraction(9, 10), max_denominator=20)


@given(length=st.integers(1, 300), window=st.integers(1, 120), overlap=OVERLAPS)
def test_every_pixel_is_covered_and_no_window_is_twice(length, window, overlap):
    starts = window_starts(length, window, stride_of(window, overlap))
    assert starts == sorted(set(starts))
    counts = coverage(length, window, starts)
    assert len(counts) == length
    assert min(counts) >= 1
    assert starts[-1] == max(length - window, 0)


@given(length=st.integers(1, 3000), window=st.integers(8, 1200))
def test_places_are_those_of_the_official_formula(length, window):
    stride = ceil(2 * window / 3)
    count = max(ceil((length - window) / stride), 0) + 1
    ends = [min(i * stride + window, length) for i in range(count)]
    assert window_starts(length, window, stride_of(window, Fraction(1, 3))) == [max(end - window, 0) for end in ends]


@pytest.mark.parametrize(("length", "starts"), [(1024, [0, 255]), (2048, [0, 513, 1026, 1279])])
def test_cityscapes(length, starts):
    assert stride_of(769, Fraction(1, 3)) == 513
    assert window_starts(length, 769, 513) == starts
