"""What today's tools and guides would have said about a pair of tensors, by their own criteria."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.verdicts.comparison import to_array

Array = np.ndarray[Any, Any]
Accepts = Callable[[Array, Array], bool]


@dataclass(frozen=True)
class Criterion:
    """`accepts(actual, expected)` says whether the tool would pass two arrays, of any shapes."""

    description: str
    accepts: Accepts


def judge(actual: Any, expected: Any) -> dict[str, bool]:
    """By name of the criterion: would it have passed `actual`? Floating tensors of any shapes."""
    arrays = to_array(actual), to_array(expected)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        return {name: criterion.accepts(*arrays) for name, criterion in CRITERIA.items()}


def _padiff(tolerance: float, relative: float, *, strict: bool) -> Accepts:
    """NumPy's `assert_allclose`, where NaN equals NaN: of the means, or element by element."""

    def accepts(actual: Array, expected: Array) -> bool:
        ours, theirs = (actual, expected) if strict else (actual.mean(), expected.mean())
        try:
            np.testing.assert_allclose(ours, theirs, rtol=relative, atol=tolerance, verbose=False)
        except AssertionError:
            return False
        return True

    return accepts


def _reprod_log(actual: Array, expected: Array) -> bool:
    """Shapes that differ are transposed or broadcast; NaN is not greater than the limit and passes."""
    if actual.shape != expected.shape and actual.T.shape == expected.shape:
        actual = actual.T
    try:
        difference = np.abs(actual - expected)
    except ValueError:
        return False
    return not difference.mean() > 1e-6


def _assert_close(actual: Array, expected: Array) -> bool:
    """By its defaults, since calling it loads torch.distributed, which takes longer than a small pass."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return False
    relative, absolute = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}[expected.dtype.name]
    return bool(np.isclose(actual, expected, relative, absolute).all())


def _guide(limit: float) -> Accepts:
    return lambda actual, expected: actual.shape == expected.shape and bool(np.abs(actual - expected).mean() <= limit)


CRITERIA: Mapping[str, Criterion] = {
    "PaDiff": Criterion("PaDiff 0.2.0, defaults: means within 1e-7 of themselves", _padiff(0, 1e-7, strict=False)),
    "PaDiff strict": Criterion("PaDiff, strict: each element within 1e-7 of itself", _padiff(0, 1e-7, strict=True)),
    "PaDiff 1e-4": Criterion("PaDiff, means, atol = rtol = 1e-4", _padiff(1e-4, 1e-4, strict=False)),
    "PaDiff strict 1e-4": Criterion("PaDiff, strict, atol = rtol = 1e-4", _padiff(1e-4, 1e-4, strict=True)),
    "reprod_log": Criterion("reprod_log 1.0.1, defaults: mean difference at most 1e-6", _reprod_log),
    "assert_close": Criterion("torch.testing.assert_close, defaults (float32: 1.3e-6 of itself + 1e-5)", _assert_close),
    "guide 1e-6": Criterion("Paddle's reproduction guide: mean difference at most 1e-6", _guide(1e-6)),
    "guide 1e-5": Criterion("the same guide, elsewhere: at most 1e-5", _guide(1e-5)),
}
"""By name. PaDiff refuses healthy networks at its defaults; 1e-4 is what a user then sets."""
