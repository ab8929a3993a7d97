"""What today's tools and guides would have said about a pair of tensors, by their default criteria."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Criterion:
    """`accepts(actual, expected)`: two arrays, as the tool would compare them."""

    description: str
    accepts: Callable[[Array, Array], bool]


def judge(actual: Tensor, expected: Tensor) -> dict[str, bool]:
    """By name of the criterion: would it have passed `actual`? Any shapes and floating dtypes."""
    arrays = actual.detach().cpu().numpy(), expected.detach().cpu().numpy()
    return {name: criterion.accepts(*arrays) for name, criterion in CRITERIA.items()}


def _padiff_mean(tolerance: float, relative: float) -> Callable[[Array, Array], bool]:
    return lambda actual, expected: _all_close(actual.mean(), expected.mean(), tolerance, relative)


def _padiff_strict(tolerance: float, relative: float) -> Callable[[Array, Array], bool]:
    return lambda actual, expected: _all_close(actual, expected, tolerance, relative)


def _all_close(actual: Any, expected: Any, tolerance: float, relative: float) -> bool:
    """Element by element, with NaN equal to NaN; shapes must agree, unless one is a single number."""
    try:
        np.testing.assert_allclose(actual, expected, rtol=relative, atol=tolerance)
    except AssertionError:
        return False
    return True


def _reprod_log(actual: Array, expected: Array) -> bool:
    """Shapes that differ are transposed or broadcast; a NaN is not greater than the limit and so passes."""
    if actual.shape != expected.shape and actual.T.shape == expected.shape:
        actual = actual.T
    try:
        difference = np.abs(actual - expected)
    except ValueError:
        return False
    return not difference.mean() > 1e-6


def _assert_close(actual: Array, expected: Array) -> bool:
    try:
        torch.testing.assert_close(torch.from_numpy(actual), torch.from_numpy(expected))
    except AssertionError:
        return False
    return True


def _guide(limit: float) -> Callable[[Array, Array], bool]:
    return lambda actual, expected: actual.shape == expected.shape and bool(np.abs(actual - expected).mean() <= limit)


CRITERIA: Mapping[str, Criterion] = {
    "PaDiff": Criterion("PaDiff 0.2.0 as it is: the two means within 1e-7 of each other", _padiff_mean(0, 1e-7)),
    "PaDiff 1e-4": Criterion("PaDiff, means, with atol = rtol = 1e-4", _padiff_mean(1e-4, 1e-4)),
    "PaDiff strict": Criterion("PaDiff, each element within 1e-7 of itself", _padiff_strict(0, 1e-7)),
    "PaDiff strict 1e-4": Criterion("PaDiff, each element, with atol = rtol = 1e-4", _padiff_strict(1e-4, 1e-4)),
    "reprod_log": Criterion("reprod_log 1.0.1 as it is: mean difference at most 1e-6", _reprod_log),
    "assert_close": Criterion("torch.testing.assert_close as it is, float32: 1.3e-6 of itself + 1e-5", _assert_close),
    "guide 1e-6": Criterion("Paddle's reproduction guide: mean difference at most 1e-6", _guide(1e-6)),
    "guide 1e-5": Criterion("the same guide, elsewhere: at most 1e-5", _guide(1e-5)),
}
"""By name, with the defaults of the versions named."""
