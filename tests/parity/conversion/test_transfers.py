"""Operations are seen bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from converter.operations import FOLD_EPSILON
from parity.conversion.transfers import Exchange, find_operation

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)
SCALE = np.array([0.5, -0.25, 1e-9], np.float32)
FOLDED = (np.abs(SCALE.astype(np.float64)) + FOLD_EPSILON).astype(np.float32)


@pytest.mark.parametrize(
    ("source", "target", "operation"),
    [
        (MATRIX, MATRIX, "copy"),
        (MATRIX, np.ascontiguousarray(MATRIX.T), "transpose"),
        (MATRIX, MATRIX.reshape(2, 3, 1, 1), "copy"),
        (MATRIX.reshape(2, 3, 1, 1), np.ascontiguousarray(MATRIX.T), "transpose"),
        (SCALE, FOLDED, "fold"),
        (SCALE, np.abs(SCALE), None),
        (MATRIX, MATRIX.reshape(3, 2), None),
        (MATRIX, np.nextafter(MATRIX, np.float32(9)), None),
        (np.float32(2).reshape(()), np.full((1, 1), 2, np.float32), "copy"),
        (MATRIX.astype(np.float64), MATRIX.astype(np.float16), "copy"),
        (np.full(3, 1e30, np.float32), np.zeros(3, np.float16), None),
    ],
)
def test_the_operation(source: np.ndarray, target: np.ndarray, operation: str | None) -> None:  # type: ignore[type-arg]
    assert find_operation(source, target) == operation


def test_rows_of_a_packed_tensor() -> None:
    assert find_operation(MATRIX, MATRIX[1:], (1, 2)) == "copy"
    assert find_operation(MATRIX, MATRIX[1:], (0, 1)) is None


def test_problems_say_on_which_side() -> None:
    exchange = Exchange(transfers=(), lost=("a.weight",), untied=("b and c are one",))
    assert exchange.problems("own.pth") == {
        "of own.pth without a counterpart in the port": ("a.weight",),
        "shared on one side and not on the other": ("b and c are one",),
    }
    assert Exchange(transfers=(), constants=("positions",), own=("limits",)).problems("own.pth") == {}
