"""Fresh parameters by the family's own scheme, which is seldom Paddle's default."""

from __future__ import annotations

import paddle
from paddle import nn

from recipe.initialisation import initial_fill


def initialise(model: nn.Layer, family: str) -> None:
    """Fill every parameter as `family` begins with it, from Paddle's generator (`paddle.seed`)."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if not parameter.stop_gradient}
    with paddle.no_grad():
        for name, parameter in parameters.items():
            weight = parameters.get(name.removesuffix("bias") + "weight", parameter)
            shape = tuple(parameter.shape)
            fill = initial_fill(family, name, shape, int(weight[0].size))
            if fill.distribution == "uniform":
                values = paddle.uniform(shape, min=-fill.bound, max=fill.bound, dtype=parameter.dtype)
            elif fill.distribution == "normal":
                values = paddle.normal(0.0, fill.value, shape).astype(parameter.dtype)
            else:
                values = paddle.full(shape, fill.value, dtype=parameter.dtype)
            parameter.set_value(values)
