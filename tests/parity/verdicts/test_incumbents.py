"""What other tools' criteria let pass, on tensors of a real network."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from parity.mutants.run import Bench, select
from parity.networks.inputs import DEFAULT_SIZES
from parity.verdicts.comparison import compare
from parity.verdicts.incumbents import CRITERIA, judge
from tests.parity.mutants.test_mutants import SMALL

FREE = {"mode": "free", "dtypes": ("float32",)}
ISOLATED = {"mode": "isolated", "dtypes": ("float64",)}

SUBTLE = ("energy-in-half-precision", "mask-of-minus-ten", "epsilon-of-1-001e-5", "one-weight-off")
FOR_TRAINING = ("second-pass-not-shared", "momentum-not-inverted", "dropout-rate")
PRESERVES_MEANS = ("energy-scaled", "columns-reshaped", "scale-without-epsilon", "classes-reordered")

FALSE_PASSES = {
    "PaDiff 1e-4": SUBTLE + FOR_TRAINING + PRESERVES_MEANS,
    "PaDiff strict 1e-4": SUBTLE + FOR_TRAINING,
    "guide 1e-5": SUBTLE + FOR_TRAINING,
}
"""Criterion -> mutants that it passes at the network's own outputs, in float32."""


@cache
def bench() -> Bench:
    return Bench(sizes=DEFAULT_SIZES[:2])


@cache
def verdicts(name: str) -> dict[str, bool]:
    ((_, entry),) = select([name])
    return bench().run(entry, **FREE).incumbents


@cache
def is_caught_and_pinned(name: str) -> bool:
    ((_, entry),) = select([name])
    return bool(Bench(sizes=SMALL).run(entry, **ISOLATED))


@pytest.mark.parametrize("criterion", FALSE_PASSES)
def test_mistakes_that_they_pass_and_we_catch(criterion: str) -> None:
    passed = FALSE_PASSES[criterion]
    assert len(passed) >= 5
    for name in passed:
        assert verdicts(name)[criterion], name
        assert is_caught_and_pinned(name), name


@pytest.mark.parametrize("criterion", ["PaDiff strict", "reprod_log", "guide 1e-6", "assert_close"])
def test_defaults_that_refuse_a_healthy_port(criterion: str) -> None:
    assert not verdicts("nested")[criterion]


@cache
def logits() -> Tensor:
    """Real float32 logits (2, 19, h, w)."""
    images = torch.from_numpy(next(iter(bench().images().values()))).float()
    with torch.no_grad():
        return bench().torch.float().eval()(images)[0]


def test_equal_tensors_pass_everywhere() -> None:
    assert all(judge(logits(), logits().clone()).values())
    assert judge(logits(), logits()).keys() == CRITERIA.keys()


def test_a_gross_difference_passes_nowhere() -> None:
    assert not any(judge(2 * logits() + 1, logits()).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("difference", [0, 3e-8, 3e-7, 3e-6, 9e-6, 3e-5, float("nan"), float("inf")])
def test_assert_close_is_torchs(dtype: torch.dtype, difference: float) -> None:
    expected = torch.tensor([0.0, 1.0, -30.0], dtype=dtype)
    actual = expected + difference
    try:
        torch.testing.assert_close(actual, expected)
        said = True
    except AssertionError:
        said = False
    assert judge(actual, expected)["assert_close"] == said


FOOLED = {
    "reversed": (lambda x: x.flip(0), lambda x: x, {"PaDiff 1e-4"}),
    "other shape, same values": (lambda x: x.flatten(), lambda x: x, {"PaDiff 1e-4"}),
    "NaN on both sides": (lambda x: x.log(), lambda x: x.log(), {"PaDiff", "PaDiff strict", "reprod_log"}),
    "NaN on ours": (lambda x: x.log(), lambda x: x, {"reprod_log"}),
    "transposed": (lambda x: x[0, 0].T, lambda x: x[0, 0], {"reprod_log"}),
    "broadcast": (
        lambda x: x[:1, :1, :1, :1].expand(4, 1, 1, 1),
        lambda x: x[:1, :1, :1, :1].expand(4, 1, 1, 1).flatten(),
        {"reprod_log"},
    ),
    "one outlier": (lambda x: x + 2e-3 * (torch.arange(x.numel()).reshape(x.shape) == 5), lambda x: x, {"reprod_log"}),
}
"""What is done to the logits on either side, and who passes it."""


@pytest.mark.parametrize("name", FOOLED)
def test_what_fools_them_on_real_logits(name: str) -> None:
    ours, theirs, fooled = FOOLED[name]
    actual, expected = ours(logits()).contiguous(), theirs(logits()).contiguous()
    accepted = {criterion for criterion, passed in judge(actual, expected).items() if passed}
    assert fooled <= accepted
    assert not compare(actual, expected, limit=1e-6)
