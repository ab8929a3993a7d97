"""Hypotheses about normalisation: epsilon, statistics, groups, parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from parity.causes.hypotheses import Asked, Hypothesis, leave_out
from parity.causes.steps import Step

EPSILONS = (1e-3, 1e-5, 1e-6, 1e-4, 1e-2, 1e-8, 1e-12)


def norms(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Another epsilon, in another place; statistics of the batch or the picture; parameters left out; groups."""
    bound = step.bind()
    epsilon = float(bound.get("eps", 1e-5))
    for value, is_own in asked.numbers(*EPSILONS):
        text = f"epsilon is {value:g}, the reference's is {epsilon:g}"
        edit = step.altered(eps=value)
        yield Hypothesis("epsilon", text, f"epsilon={epsilon:g}", {step.number: edit}, is_read=is_own)
    if bound.get("weight") is not None:
        text = "the scale is not applied"
        yield Hypothesis("scale missing", text, "multiply by the scale", {step.number: step.altered(weight=None)})
        yield Hypothesis("shift missing", "the shift is not added", "add it", {step.number: step.altered(bias=None)})
    yield Hypothesis("norm missing", "the normalisation is left out", "normalise", {step.number: leave_out()})
    make = {"batch_norm": _batch_norms, "layer_norm": _layer_norms, "group_norm": _group_norms}.get(step.name)
    if make is not None:
        yield from make(step, bound)
    if step.name == "batch_norm" and isinstance(bound.get("weight"), nn.Parameter):
        yield from _scales(step, bound["weight"], epsilon, asked)


def _scales(step: Step, weight: Tensor, epsilon: float, asked: Asked) -> Iterator[Hypothesis]:
    """The scale, the reference's or the port's, taken as InPlaceABN does."""
    own = None if asked.port is None else asked.port.tensors.get("weight")
    kept = [weight, *([] if own is None or own.shape != weight.shape else [torch.from_numpy(own.astype(np.float64))])]
    for scale, added in product(kept, (epsilon, float(np.float32(epsilon)), 0.0)):
        for name, text, made in (
            ("scale's magnitude", "the magnitude of the scale is taken, as InPlaceABN does", scale.abs() + added),
            ("scale epsilon added", f"{epsilon:g} is added to the scale", scale + added),
        ):
            if bool((weight < 0).any()) or name != "scale's magnitude":
                yield Hypothesis(name, text, "multiply by the scale as it is", {step.number: step.altered(weight=made)})


def _batch_norms(step: Step, bound: Mapping[str, Any]) -> Iterator[Hypothesis]:
    def by_batch(one: Step, args: Any, kwargs: Any) -> Any:
        own = one.bind(args, kwargs)
        return functional.batch_norm(
            own["input"], None, None, own["weight"], own["bias"], training=True, eps=own["eps"]
        )

    def by_picture(one: Step, args: Any, kwargs: Any) -> Any:
        own = one.bind(args, kwargs)
        return functional.instance_norm(own["input"], weight=own["weight"], bias=own["bias"], eps=own["eps"])

    def outside(one: Step, args: Any, kwargs: Any) -> Any:
        own = one.bind(args, kwargs)
        shape = [1, -1, *[1] * (own["input"].ndim - 2)]
        mean, variance = (own[name].reshape(shape) for name in ("running_mean", "running_var"))
        normed = (own["input"] - mean) / (variance.sqrt() + own["eps"])
        weight, bias = own["weight"], own["bias"]
        normed = normed if weight is None else normed * weight.reshape(shape)
        return normed if bias is None else normed + bias.reshape(shape)

    def swapped(one: Step, args: Any, kwargs: Any) -> Any:
        own = one.bind(args, kwargs)
        return one.altered(running_mean=own["running_var"], running_var=own["running_mean"])(one, args, kwargs)

    if bound.get("running_mean") is None:
        return
    use = "use the running statistics in evaluation: training=False"
    text = "statistics of the batch are used in evaluation"
    yield Hypothesis("batch statistics", text, use, {step.number: by_batch})
    text = "each picture is normalised by its own statistics, as InstanceNorm does"
    yield Hypothesis(
        "instance statistics", text, "use BatchNorm with its running statistics", {step.number: by_picture}
    )
    text = "epsilon is added to the deviation, not to the variance"
    yield Hypothesis("epsilon outside", text, "divide by sqrt(variance + epsilon)", {step.number: outside})
    text = "running mean and running variance are exchanged"
    yield Hypothesis("statistics swapped", text, "exchange them", {step.number: swapped})


def _layer_norms(step: Step, bound: Mapping[str, Any]) -> Iterator[Hypothesis]:
    def unbiased(one: Step, args: Any, kwargs: Any) -> Any:
        own = one.bind(args, kwargs)
        axes = tuple(range(-len(own["normalized_shape"]), 0))
        variance, mean = torch.var_mean(own["input"], axes, correction=1, keepdim=True)
        normed = (own["input"] - mean) / (variance + own["eps"]).sqrt()
        normed = normed if own.get("weight") is None else normed * own["weight"]
        return normed if own.get("bias") is None else normed + own["bias"]

    text = "the variance is divided by n - 1, the reference's by n"
    yield Hypothesis("unbiased variance", text, "var(..., unbiased=False)", {step.number: unbiased})


def _group_norms(step: Step, bound: Mapping[str, Any]) -> Iterator[Hypothesis]:
    groups, channels = int(bound["num_groups"]), int(step.tensors[0].shape[1])
    for value in (count for count in range(1, channels + 1) if channels % count == 0 and count != groups):
        text = f"{value} groups, the reference has {groups}"
        yield Hypothesis("groups", text, f"num_groups={groups}", {step.number: step.altered(num_groups=value)})
