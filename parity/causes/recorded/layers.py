"""What a layer makes of an array, by its class, its settings and its tensors, in either framework's terms.

layer = read_layer(info)            # None for a class that is not known here
layer.run(x)                        # (N, C, H, W) -> what the framework's layer gives, in float64
replace(layer, settings={**layer.settings, "epsilon": 1e-3}).run(x)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, ndtr, softmax

from parity.networks.modules import ModuleInfo

Array = np.ndarray[Any, Any]
Settings = Mapping[str, Any]
Tensors = Mapping[str, Array]
Rule = Callable[[Array, Settings, Tensors], Array]


def leaky_relu(x: Array, slope: float) -> Array:
    """Negative elements are multiplied by the slope."""
    return np.where(x > 0, x, slope * x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "ReLU": lambda x: leaky_relu(x, 0.0),
    "LeakyReLU 0.01": lambda x: leaky_relu(x, 0.01),
    "LeakyReLU 0.1": lambda x: leaky_relu(x, 0.1),
    "LeakyReLU 0.2": lambda x: leaky_relu(x, 0.2),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "GELU": lambda x: x * ndtr(x),
    "GELU by tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    "SiLU": lambda x: x * expit(x),
    "Sigmoid": expit,
    "Tanh": np.tanh,
    "Hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "Hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "Softplus": lambda x: np.logaddexp(x, 0),
    "Mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
}
"""What a layer may end in."""
NAMES = {
    "stride": ("stride",),
    "dilation": ("dilation",),
    "padding mode": ("padding_mode",),
    "padding": ("padding",),
    "groups": ("groups", "num_groups"),
    "epsilon": ("epsilon", "eps"),
    "slope": ("negative_slope", "slope"),
    "kernel size": ("kernel_size", "ksize"),
    "ceil_mode": ("ceil_mode",),
    "exclusive": ("exclusive",),
    "axis": ("axis", "dim"),
}
"""Setting -> what the frameworks call it, without what stands before and after the name."""
WINDOWED = ("stride", "dilation", "padding", "kernel size")
"""Settings of one number, or of one for each axis."""


@dataclass(frozen=True)
class DrawnLayer:
    """A layer as data: `family` is a key of `RULES` or an activation's name."""

    family: str
    settings: Settings
    tensors: Tensors

    def run(self, x: Array) -> Array:
        """What it makes of `x`, in float64. Raises whatever NumPy does for what does not fit."""
        if self.family in ACTIVATIONS:
            return ACTIVATIONS[self.family](x)
        return RULES[self.family](x, self.settings, self.tensors)


def read_layer(info: ModuleInfo) -> DrawnLayer | None:
    """The layer as data; None for a class that is not known here."""
    family = _family(info)
    if family is None:
        return None
    tensors = {name: np.asarray(array, np.float64) for name, array in info.tensors.items()}
    if getattr(info.module, "recorded_magnitude", False):  # it was recorded as a converter folds it
        folded = np.abs(tensors["weight"]) + float(np.float32(read_settings(info).get("epsilon", 0.0)))
        tensors["weight"] = folded.astype(np.float32).astype(np.float64)
    return DrawnLayer(family, read_settings(info), tensors)


def read_settings(info: ModuleInfo) -> dict[str, Any]:
    """Its settings by one name each."""
    own = {name.strip("_"): value for name, value in vars(info.module).items()}
    if "count_include_pad" in own:
        own["exclusive"] = not own["count_include_pad"]
    found = {name: own[alias] for name, aliases in NAMES.items() for alias in aliases if own.get(alias) is not None}
    return {name: _plain(value) if name in WINDOWED else value for name, value in found.items()}


def _plain(value: Any) -> Any:
    """One number where all axes have it."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    return listed[0] if len(set(map(str, listed))) == 1 else listed


def _family(info: ModuleInfo) -> str | None:
    name = type(info.module).__name__.lower()
    if "transpose" in name or "adaptive" in name:
        return None
    if info.kind == "norm" and "running_mean" in info.tensors:
        return "batchnorm"
    known = {one.lower(): one for one in ACTIVATIONS}
    families = (info.kind, *(family for family in RULES if name.startswith(family)))
    return next((family for family in families if family in RULES), known.get(name))


def _convolve(x: Array, settings: Settings, tensors: Tensors) -> Array:
    weight, groups = tensors["weight"], settings.get("groups", 1)
    kernel = weight.shape[2:]
    stride, dilation, padding = (_each(settings.get(name, one), kernel) for name, one in WINDOW)
    mode = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    padded = np.pad(x, _around(padding), mode=mode[settings.get("padding mode", "zeros")])  # type: ignore[call-overload]
    spans = [side - spread * (one - 1) for side, spread, one in zip(padded.shape[2:], dilation, kernel, strict=True)]
    size = [(span - 1) // step + 1 for span, step in zip(spans, stride, strict=True)]
    made = np.zeros((len(x), len(weight), *size))
    of, into = weight.shape[1], len(weight) // groups
    for place in np.ndindex(*kernel):
        starts = [at * spread for at, spread in zip(place, dilation, strict=True)]
        window = _cut(padded, starts, stride, size)
        for group in range(groups):
            part = weight[group * into : (group + 1) * into]
            at: Any = (slice(None), slice(None), *place)
            product = np.tensordot(part[at], window[:, group * of : (group + 1) * of], axes=(1, 1))
            made[:, group * into : (group + 1) * into] += np.moveaxis(product, 0, 1)
    return made + _over(tensors["bias"], made) if "bias" in tensors else made


WINDOW = (("stride", 1), ("dilation", 1), ("padding", 0))


def _each(value: Any, kernel: Sequence[int]) -> list[int]:
    """One number for each axis. Raises ValueError for what is not that."""
    listed = list(value) if isinstance(value, list | tuple) else [value] * len(kernel)
    if len(listed) != len(kernel) or not all(isinstance(one, int) for one in listed):
        raise ValueError(value)
    return listed


def _around(padding: Sequence[int]) -> list[tuple[int, int]]:
    return [(0, 0), (0, 0), *((side, side) for side in padding)]


def _cut(x: Array, starts: Sequence[int], stride: Sequence[int], size: Sequence[int]) -> Array:
    """Every `stride` elements of (N, C, …) from `starts` on, `size` of them, along each axis."""
    places: Any = (
        slice(None),
        slice(None),
        *(
            slice(start, start + step * (count - 1) + 1, step)
            for start, step, count in zip(starts, stride, size, strict=True)
        ),
    )
    return np.asarray(x[places])


def _over(values: Array, like: Array) -> Array:
    """Values of the channels (C,), as those of (N, C, …)."""
    return values.reshape([1, -1, *[1] * (like.ndim - 2)])


def _scale(normed: Array, tensors: Tensors) -> Array:
    normed = normed * _over(tensors["weight"], normed) if "weight" in tensors else normed
    return normed + _over(tensors["bias"], normed) if "bias" in tensors else normed


def _batch_norm(x: Array, settings: Settings, tensors: Tensors) -> Array:
    mean, variance = (_over(tensors[name], x) for name in ("running_mean", "running_var"))
    return _scale((x - mean) / np.sqrt(variance + settings["epsilon"]), tensors)


def _normalise(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    return np.asarray((x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon))


def _instance_norm(x: Array, settings: Settings, tensors: Tensors) -> Array:
    return _scale(_normalise(x, tuple(range(2, x.ndim)), settings["epsilon"]), tensors)


def _group_norm(x: Array, settings: Settings, tensors: Tensors) -> Array:
    grouped = x.reshape(len(x), settings["groups"], -1)
    return _scale(_normalise(grouped, (2,), settings["epsilon"]).reshape(x.shape), tensors)


def _layer_norm(x: Array, settings: Settings, tensors: Tensors) -> Array:
    weight = tensors["weight"]
    normed = _normalise(x, tuple(range(-weight.ndim, 0)), settings["epsilon"]) * weight
    return normed + tensors["bias"] if "bias" in tensors else normed


def _linear(x: Array, settings: Settings, tensors: Tensors) -> Array:
    product = x @ tensors["weight"].T
    return product + tensors["bias"] if "bias" in tensors else product


def _max_pool(x: Array, settings: Settings, tensors: Tensors) -> Array:
    return np.maximum.reduce(list(_windows(x, settings, fill=-np.inf)))


def _average_pool(x: Array, settings: Settings, tensors: Tensors) -> Array:
    ones = np.ones((1, 1, *x.shape[2:]))
    if not settings.get("exclusive", True):
        padding = _each(settings.get("padding", 0), x.shape[2:])
        ones, settings_of_ones = np.pad(ones, _around(padding), constant_values=1.0), {**settings, "padding": 0}
    else:
        settings_of_ones = dict(settings)
    total = sum(_windows(x, settings, fill=0.0))
    size = np.shape(total)[2:]
    return np.asarray(total / sum(_windows(ones, settings_of_ones, fill=0.0, size=size)))


def _windows(x: Array, settings: Settings, *, fill: float, size: Sequence[int] | None = None) -> list[Array]:
    """For each place of the kernel, what is under it, (N, C, *size)."""
    axes = x.shape[2:]
    kernel = _each(settings["kernel size"], axes)
    stride, padding = _each(settings.get("stride", kernel), axes), _each(settings.get("padding", 0), axes)
    if _each(settings.get("dilation", 1), axes) != [1] * len(axes):
        raise ValueError("dilation")
    if size is None:
        size = [
            _count(side, *one, ceil=bool(settings.get("ceil_mode", False)))
            for side, *one in zip(axes, kernel, stride, padding, strict=True)
        ]
    more = [
        max(step * (count - 1) + one - side - 2 * pad, 0)
        for side, one, step, pad, count in zip(axes, kernel, stride, padding, size, strict=True)
    ]
    sides = [(0, 0), (0, 0), *((pad, pad + extra) for pad, extra in zip(padding, more, strict=True))]
    padded = np.pad(x, sides, constant_values=fill)
    return [_cut(padded, place, stride, size) for place in np.ndindex(*kernel)]


def _count(side: int, kernel: int, stride: int, padding: int, *, ceil: bool) -> int:
    """How many windows there are along an axis: the last one begins inside the picture or before it."""
    span = side + 2 * padding - kernel
    count = (-(-span // stride) if ceil else span // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= side + padding else count


RULES: dict[str, Rule] = {
    "conv": _convolve,
    "linear": _linear,
    "batchnorm": _batch_norm,
    "instancenorm": _instance_norm,
    "groupnorm": _group_norm,
    "layernorm": _layer_norm,
    "maxpool": _max_pool,
    "avgpool": _average_pool,
    "softmax": lambda x, settings, tensors: softmax(x, axis=settings["axis"]),
    "leakyrelu": lambda x, settings, tensors: leaky_relu(x, settings["slope"]),
}
"""Family -> what its layers make of an array (N, C, …)."""
