"""Fresh parameters by the family's own scheme, which is seldom Paddle's default."""

from __future__ import annotations

import paddle
from paddle import nn

from recipe.initialisation import initial_fill

CLASSIFIER = "head.classifier.weight"
"""A name that only networks with the twins' names have."""
BY_KIND = ("official", "pure_pytorch", "imagenet")
"""Families whose initial values depend on a layer's kind alone."""


def initialise(model: nn.Layer, family: str) -> None:
    """Fill every parameter as `family` begins with it, from Paddle's generator (`paddle.seed`).

    Of a port with other names than the twins', norms and lone scales are known by their kind. Raises ValueError for a
    family whose values depend on more: of `mmseg` and `paddleseg`, a network must have the twins' names.

    paddle.seed(0)
    initialise(network, "official")
    """
    parameters = {name: parameter for name, parameter in model.named_parameters() if not parameter.stop_gradient}
    has_names = CLASSIFIER in parameters
    if not has_names and family not in BY_KIND:
        raise ValueError(f"{family} begins by the names of the twin's layers, which {type(model).__name__} has not")
    norms = {path for path, layer in model.named_sublayers() if isinstance(layer, nn.layer.norm._BatchNormBase)}
    with paddle.no_grad():
        for name, parameter in parameters.items():
            weight = parameters.get(name.removesuffix("bias") + "weight", parameter)
            shape = tuple(parameter.shape)
            kind = name if has_names else _name_by_kind(name, parameter, norms)
            fill = initial_fill(family, kind, shape, int(weight[0].size))
            if fill.distribution == "uniform":
                values = paddle.uniform(shape, min=-fill.bound, max=fill.bound, dtype=parameter.dtype)
            elif fill.distribution == "normal":
                values = paddle.normal(0.0, fill.value, shape).astype(parameter.dtype)
            else:
                values = paddle.full(shape, fill.value, dtype=parameter.dtype)
            parameter.set_value(values)


def _name_by_kind(name: str, parameter: paddle.Tensor, norms: set[str]) -> str:
    """The name that a twin's parameter of this kind would have, as far as its initial value depends on it."""
    layer, _, leaf = name.rpartition(".")
    if layer in norms:
        return f".norm.{leaf}"
    return "gamma" if parameter.size == 1 and leaf not in ("weight", "bias") else name
