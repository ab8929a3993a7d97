"""Gate "initialisation": are both frameworks' fresh parameters drawn from the same distributions?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from converter.names import count
from parity.certify.causes.initial import explain_initial
from parity.certify.gate import Check, Evidence, NotRunError
from parity.certify.limits import DISTRIBUTION, DISTRIBUTION_REASON, EXACT, EXACT_REASON
from parity.certify.subject import Subject

Array = np.ndarray[Any, Any]

SHAPE_SAMPLE = 20_000
"""Values per layer kind whose distributions are compared in shape."""


def run(subject: Subject) -> Evidence:
    """Constants are equal; of the others, mean, deviation and shape are the same within chance."""
    if subject.comes_loaded:
        raise NotRunError("the port comes with its weights: how it would begin is not seen; see --port-weights")
    if subject.reference is not None:
        raise NotRunError("the reference's own initialiser was not given")
    ours, theirs = _fresh(subject)
    if ours.keys() != theirs.keys():
        raise NotRunError(f"no counterpart of {sorted(ours.keys() ^ theirs.keys())[0]}")
    checks = _compare(ours, theirs)
    constant = sum(_is_constant(array) for array in ours.values())
    return Evidence(
        checks=checks,
        remarks=[f"{count(len(ours) - constant, 'parameter')} drawn, {constant} constant"],
        explain=lambda: explain_initial(ours, theirs, _compare),
    )


def _is_constant(array: Array) -> bool:
    return bool(array.size == 1 or array.min() == array.max())


def _compare(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> list[Check]:
    constant = [name for name, array in ours.items() if _is_constant(array)]
    odd = [name for name in constant if theirs[name].tobytes() != ours[name].tobytes()]
    drawn = [name for name in ours if name not in constant]
    mean = max(((_mean_score(ours[name], theirs[name]), name) for name in drawn), default=(0.0, ""))
    spread = max(((_deviation_score(ours[name], theirs[name]), name) for name in drawn), default=(0.0, ""))
    return [
        Check(
            name="constants that differ",
            measured=len(odd),
            limit=EXACT,
            reason=EXACT_REASON,
            detail=f"first {odd[0]}" if odd else "",
        ),
        *(_check(name, score, where) for name, (score, where) in (("mean", mean), ("deviation", spread))),
        _check("shape of the distribution", *_shape_score(drawn, ours, theirs)),
    ]


def _fresh(subject: Subject) -> tuple[dict[str, Array], dict[str, Array]]:
    """Both sides' parameters as a new network has them, from fixed seeds that have nothing in common."""
    import torch

    from models_paddle import paddle

    torch.manual_seed(subject.seed + 1)
    paddle.seed(subject.seed + 2)
    ours, theirs = subject.torch("float32", layers=False), subject.paddle("float32", loaded=False, layers=False)
    ours.initialise(subject.family)
    if not subject.has_port:  # a port begins as its own function makes it
        theirs.initialise(subject.family)
    found = [{name: side.array(tensor) for name, tensor in side.parameters.items()} for side in (ours, theirs)]
    return found[0], found[1]


def _mean_score(left: Array, right: Array) -> float:
    """Distance of the means in standard errors."""
    error = math.sqrt(left.var() / left.size + right.var() / right.size)
    return abs(float(left.mean() - right.mean())) / error if error else math.inf


def _deviation_score(left: Array, right: Array) -> float:
    """Distance of the logarithms of the deviations in standard errors of a normal distribution's."""
    if not left.std() or not right.std():
        return math.inf
    error = math.sqrt(1 / (2 * left.size) + 1 / (2 * right.size))
    return abs(math.log(float(left.std() / right.std()))) / error


def _shape_score(names: list[str], ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> tuple[float, str]:
    """Kolmogorov-Smirnov distance of standardised values, in units of its standard error, by the name's last part."""
    found = (0.0, "")
    for kind in sorted({name.rpartition(".")[2] for name in names}):
        chosen = [name for name in names if name.endswith(f".{kind}")]
        pooled = [_standardised(side, chosen) for side in (ours, theirs)]
        distance = float(stats.ks_2samp(*pooled).statistic) * math.sqrt(min(map(len, pooled)) / 2)
        # P(distance > x) is about 2 exp(-2 x²): the deviate of a normal distribution with that chance.
        chance = min(max(2 * math.exp(-2 * distance**2), 1e-300), 1.0)
        found = max(found, (float(stats.norm.isf(chance / 2)), f"every {kind}"))
    return found


def _standardised(side: Mapping[str, Array], names: list[str]) -> Array:
    share = max(SHAPE_SAMPLE // max(len(names), 1), 1)
    return np.concatenate([(side[name] / max(side[name].std(), 1e-30)).reshape(-1)[:share] for name in names])


def _check(name: str, score: float, where: str) -> Check:
    return Check(name=name, measured=score, limit=DISTRIBUTION, reason=DISTRIBUTION_REASON, detail=where)
