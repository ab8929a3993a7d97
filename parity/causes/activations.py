"""Activations by name: those that a layer may end in, and what a port may have instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from parity.causes.hypotheses import Asked, Hypothesis, leave_out, precede_by, replace_by
from parity.causes.steps import Step
from parity.networks.modules import is_users_own

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {
    "ReLU": functional.relu,
    "LeakyReLU 0.01": lambda features: functional.leaky_relu(features, 0.01),
    "LeakyReLU 0.1": lambda features: functional.leaky_relu(features, 0.1),
    "LeakyReLU 0.2": lambda features: functional.leaky_relu(features, 0.2),
    "ReLU6": functional.relu6,
    "ELU": functional.elu,
    "GELU": functional.gelu,
    "SiLU": functional.silu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Hardswish": functional.hardswish,
    "Hardsigmoid": functional.hardsigmoid,
    "Softplus": functional.softplus,
    "Mish": functional.mish,
}
"""What a reference's layer may end in."""


def _hardsigmoid(slope: float) -> Activation:
    return lambda features: (slope * features + 0.5).clamp(0, 1)


def _paddles_selu(features: Tensor) -> Tensor:
    """With its two numbers as float32, as Paddle's kernel has them."""
    scale, alpha = (float(np.float32(number)) for number in (1.0507009873554805, 1.6732632423543772))
    return scale * torch.where(features > 0, features, alpha * features.expm1())


OTHERS: tuple[tuple[str, Activation], ...] = (
    *ACTIVATIONS.items(),
    ("Hardsigmoid", _hardsigmoid(float(np.float32(0.1666667)))),  # Paddle's own
    ("Hardsigmoid", _hardsigmoid(0.1666667)),
    *(("Hardsigmoid with slope 0.2", _hardsigmoid(slope)) for slope in (0.2, float(np.float32(0.2)))),
    ("GELU by tanh", lambda features: functional.gelu(features, approximate="tanh")),
    ("Sigmoid Linear 1.702", lambda features: features * torch.sigmoid(1.702 * features)),
    ("SELU", functional.selu),
    ("SELU", _paddles_selu),
    ("CELU", functional.celu),
    ("Softsign", functional.softsign),
    ("LogSigmoid", functional.logsigmoid),
    ("Hardtanh", functional.hardtanh),
    ("squared ReLU", lambda features: functional.relu(features).square()),
    ("absolute value", torch.abs),
    ("exponential", torch.exp),
)
"""And what a port may put in its place; more than once where the numbers in it may be double or float32."""
FUNCTIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "relu6": "ReLU6",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hardswish": "Hardswish",
    "hardsigmoid": "Hardsigmoid",
    "softplus": "Softplus",
    "mish": "Mish",
    "selu": "SELU",
    "celu": "CELU",
    "prelu": "PReLU",
    "clamp": "clamp",
    "hardtanh": "Hardtanh",
}
"""Functions of torch that are activations -> their names."""
SLOPES = (0.01, 0.1, 0.2, 0.25, 0.05, 0.3)


def other_activations(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """None, another, or another slope."""
    own = name_of(step)
    if step.name == "clamp" and step.bind().get("min") != 0:  # a guard, no activation
        return
    yield Hypothesis(
        "activation missing",
        f"the {own} is left out",
        f"apply {own}",
        {step.number: lambda one, args, kwargs: one.bind(args, kwargs).get("input", args[0] if args else None)},
    )
    slope = step.bind().get("negative_slope") if own.startswith("LeakyReLU") else None
    for value, is_own in asked.numbers(*SLOPES) if slope is not None else ():
        yield Hypothesis(
            "slope",
            f"the slope is {value:g}, the reference's is {slope:g}",
            f"negative_slope={slope:g}",
            {step.number: replace_by(lambda features, value=value: functional.leaky_relu(features, value))},
            is_read=is_own,
        )
    for name, function in OTHERS:
        if name != own and not (slope is not None and name.startswith("LeakyReLU")):
            yield Hypothesis(
                "activation",
                f"{name} stands where the reference has {own}",
                f"use {own}",
                {step.number: replace_by(function)},
            )
    if not own.startswith("LeakyReLU"):
        for value, is_own in asked.numbers():
            yield Hypothesis(
                "activation",
                f"LeakyReLU {value:g} stands where the reference has {own}",
                f"use {own}",
                {step.number: replace_by(lambda features, value=value: functional.leaky_relu(features, value))},
                is_read=is_own,
            )


def apply_like(step: Step) -> Activation:
    """The activation that a step is, with its own slope."""

    def activate(features: Tensor) -> Tensor:
        given = step.bind()
        name = next(name for name, value in given.items() if isinstance(value, Tensor)) if given else ""
        return (
            step.altered(**{name: features.clone()})(step, step.args, step.kwargs) if name else step.function(features)
        )

    return activate


def called_activations(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Another in the place of a layer that is one, whatever function does it."""
    module = asked.replay.unit.get_submodule(step.path)
    own = type(module).__name__
    makes_no_more = not any(True for _ in (*module.parameters(), *module.children())) and is_users_own(module)
    if own not in FUNCTIONS.values() and not (makes_no_more and step.tensors[0].shape == step.outputs[0].shape):
        return
    for name, function in OTHERS:
        if name.partition(" ")[0] != own:
            text = f"{name} stands where the reference has {own}"
            yield Hypothesis("activation", text, f"use {own}", {step.number: replace_by(function)})


def moved_activations(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Before the layer that it follows."""
    source = step.sources[0] if step.sources else None
    if source is None or asked.replay.steps[source].name not in MOVED_BEFORE:
        return
    before = asked.replay.steps[source]
    own = name_of(step)
    text = f"the {own} is applied before {MOVED_BEFORE[before.name]}, not after it"
    edits = {before.number: precede_by(apply_like(step)), step.number: leave_out()}
    yield Hypothesis("activation before the norm", text, f"{own} after {MOVED_BEFORE[before.name]}", edits)


MOVED_BEFORE = {
    "batch_norm": "the normalisation",
    "layer_norm": "the normalisation",
    "group_norm": "the normalisation",
    "instance_norm": "the normalisation",
    "conv2d": "the convolution",
    "linear": "the linear layer",
    "cat": "the concatenation",
}


def name_of(step: Step) -> str:
    """`LeakyReLU 0.01`, as ACTIVATIONS has it."""
    own = FUNCTIONS[step.name]
    slope = step.bind().get("negative_slope")
    if step.name == "gelu" and step.bind().get("approximate") == "tanh":
        return "GELU by tanh"
    return own if slope is None else f"{own} {slope:g}"
