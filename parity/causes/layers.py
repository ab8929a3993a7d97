"""Hypotheses about layers: how a porter may have built a convolution, a norm, a pooling, a resize, a dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models_paddle import paddle
from parity.causes.hypotheses import Asked, Hypothesis, leave_out, replace_by
from parity.causes.steps import Edit, Step
from twins.tensors import paddle_to_torch, torch_to_paddle

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


def convolutions(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Stride, padding, dilation and bias, as the port's layer has them, and the usual mistakes."""
    bound = step.bind()
    own = {name: _pair(bound.get(name, default)) for name, default in CONVOLUTION.items()}
    if any(value is None for value in own.values()) or not isinstance(bound.get("weight"), Tensor):
        return
    seen: set[str] = set()
    read, usual = _read_convolution(asked, own), _usual_convolutions(own, bound["weight"].shape[2:])
    for settings, is_own in (*((one, True) for one in read), *((one, False) for one in usual)):
        changed = {name: value for name, value in settings.items() if value != own.get(name, "zeros")}
        text = ", ".join(f"{TITLES[name]} is {_say(value)}" for name, value in changed.items())
        if text and text not in seen:
            seen.add(text)
            were = ", ".join(_say(own.get(name, "zeros")) for name in changed)
            fix = ", ".join(f"{name}={_say(own.get(name, 'zeros'))}" for name in changed)
            name = next((one for one in ORDER if one in changed), "padding")
            edits = {step.number: _convolve(settings)}
            yield Hypothesis(TITLES[name], f"{text}, the reference's {were}", fix, edits, is_read=is_own)
    if bound.get("bias") is not None:
        yield Hypothesis(
            "bias missing", "the bias is not added", "give the layer its bias", {step.number: step.altered(bias=None)}
        )
    for label, value in asked.added.items() if bound.get("bias") is None else ():
        if value.shape == bound["weight"].shape[:1]:
            text = f"the port adds a bias, `{label}`, which the reference has not"
            edit = step.altered(bias=value.to(bound["weight"].dtype))
            yield Hypothesis("bias added", text, "bias_attr=False", {step.number: edit})
    if step.name == "conv2d":
        yield from _turned_kernels(step)


CONVOLUTION = {"stride": 1, "padding": 0, "dilation": 1}
TITLES = {"stride": "stride", "padding": "padding", "dilation": "dilation", "padding_mode": "padding mode"}
ORDER = ("stride", "dilation", "padding_mode", "padding")
"""By the first of them that differs a hypothesis is called."""


def _read_convolution(asked: Asked, own: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    settings = asked.settings
    if not {"stride", "padding", "dilation"} & settings.keys():
        return
    found = {name: settings.get(name, own[name]) for name in CONVOLUTION}
    found["padding_mode"] = settings.get("padding_mode", "zeros")
    found["padding"] = settings.get("padding", found["padding"])
    for name in ("stride", "dilation"):
        found[name] = _pair(found[name]) or own[name]
    found["padding"] = _pair(found["padding"]) or found["padding"]
    yield found


def _usual_convolutions(own: Mapping[str, Any], kernel: Any) -> Iterator[dict[str, Any]]:
    def same(dilation: Any) -> tuple[int, ...]:
        return tuple(side * (size - 1) // 2 for side, size in zip(dilation, kernel, strict=True))

    for mode in ("reflect", "replicate", "circular"):
        yield {**own, "padding_mode": mode}
    for value in (0, 1, 2, 3):
        yield {**own, "padding": (value,) * len(kernel)}
    yield {**own, "padding": "SAME"}
    for value in (1, 2, 4, 8, 16, 32):
        dilation = (value,) * len(kernel)
        yield {**own, "dilation": dilation, "padding": same(dilation)}
        yield {**own, "dilation": dilation}
    for value in (1, 2, 4):
        yield {**own, "stride": (value,) * len(kernel)}


def _convolve(settings: Mapping[str, Any]) -> Edit:
    def edit(step: Step, args: Any, kwargs: Any) -> Any:
        bound = step.bind(args, kwargs)
        features, kernel = bound["input"], bound["weight"].shape[2:]
        sides = _sides(settings["padding"], features.shape[2:], kernel, settings["stride"], settings["dilation"])
        mode = {"zeros": "constant"}.get(settings.get("padding_mode", "zeros"), settings.get("padding_mode"))
        padded = functional.pad(features, sides, mode=str(mode))
        changed = {"input": padded, "padding": 0, "stride": settings["stride"], "dilation": settings["dilation"]}
        return step.altered(**changed)(step, args, kwargs)

    return edit


def _sides(padding: Any, size: Any, kernel: Any, stride: Any, dilation: Any) -> list[int]:
    """As `functional.pad` takes them: the last axis first, before and after. Raises ValueError for what is none."""
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(padding)
        pairs = []
        for length, side, step, spread in zip(size, kernel, stride, dilation, strict=True):
            whole = max((-(-length // step) - 1) * step + spread * (side - 1) + 1 - length, 0)
            whole = whole if padding.upper() == "SAME" else 0
            pairs.append((whole // 2, whole - whole // 2))
    else:
        flat = [side for one in padding for side in (one if isinstance(one, list | tuple) else [one])]
        if len(flat) == 2 * len(kernel) + 4:
            flat = flat[4:]
        doubled = flat if len(flat) == 2 * len(kernel) else [side for side in flat for _ in range(2)]
        pairs = list(zip(doubled[::2], doubled[1::2], strict=True))
    return [side for pair in reversed(pairs) for side in pair]


def _turned_kernels(step: Step) -> Iterator[Hypothesis]:
    turns = {"flipped": lambda w: w.flip([2, 3]), "transposed in space": lambda w: w.transpose(2, 3)}
    for name, turn in turns.items():
        text = f"the kernel is {name} before it is used"
        yield Hypothesis(f"kernel {name}", text, "use it as it is", {step.number: _with_kernel(turn)})


def _with_kernel(turn: Callable[[Tensor], Tensor]) -> Edit:
    return lambda step, args, kwargs: step.altered(weight=turn(step.bind(args, kwargs)["weight"]))(step, args, kwargs)


def linears(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Without its bias, or by the weight the other way round."""
    bound = step.bind()
    if bound.get("bias") is not None:
        yield Hypothesis("bias missing", "the bias is not added", "add it", {step.number: step.altered(bias=None)})
    weight = bound.get("weight")
    if isinstance(weight, Tensor) and weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
        text = "the product is with the weight transposed"
        edits = {step.number: _with_kernel(lambda kernel: kernel.t())}
        yield Hypothesis("weight transposed", text, "Paddle keeps (in, out), torch (out, in)", edits)


def pools(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """How the output's size is rounded, what an average counts, the other kind, and what the port's layer has."""
    bound = step.bind()
    is_average = step.name.startswith("avg")
    ceil = bool(bound.get("ceil_mode", False))
    text = f"ceil_mode is {not ceil}, the reference's is {ceil}"
    yield Hypothesis("ceil_mode", text, f"ceil_mode={ceil}", {step.number: step.altered(ceil_mode=not ceil)})
    if is_average:
        counted = bool(bound.get("count_include_pad", True))
        text = f"the average {'leaves padding out' if counted else 'counts padding'} (exclusive={counted})"
        fix = f"exclusive={not counted}"
        yield Hypothesis("exclusive", text, fix, {step.number: step.altered(count_include_pad=not counted)})
    yield from _other_pools(step, bound, is_average)
    settings = asked.settings
    read = {
        "kernel_size": settings.get("ksize", settings.get("kernel_size")),
        "stride": settings.get("stride"),
        "padding": settings.get("padding"),
    }
    for chosen in ({name: value} for name, value in read.items()) if None not in read.values() else ():
        yield from _read_pool(step, bound, chosen, is_read=True)
    for name, value in product(("stride", "padding", "kernel_size"), (0, 1, 2, 3)):
        if not (name != "padding" and value == 0):
            yield from _read_pool(step, bound, {name: value})


def _read_pool(
    step: Step, bound: Mapping[str, Any], chosen: Mapping[str, Any], *, is_read: bool = False
) -> Iterator[Hypothesis]:
    ((name, value),) = chosen.items()
    own = bound.get(name)
    if _pair(value) is not None and _pair(own) is not None and _pair(value) != _pair(own):
        text = f"{name} is {_say(_pair(value))}, the reference's is {_say(_pair(own))}"
        edits = {step.number: step.altered(**{name: value})}
        yield Hypothesis(name.replace("_", " "), text, f"{name}={_say(_pair(own))}", edits, is_read=is_read)


def _other_pools(step: Step, bound: Mapping[str, Any], is_average: bool) -> Iterator[Hypothesis]:
    kind = "average" if is_average else "maximum"
    other = "maximum" if is_average else "average"
    own = {
        name: bound.get(name, default)
        for name, default in (("kernel_size", 2), ("stride", None), ("padding", 0), ("ceil_mode", False))
    }
    dimensions = step.name[-2:]
    pool = getattr(functional, f"{'max' if is_average else 'avg'}_pool{dimensions}")
    for extra in ({},) if is_average else ({"count_include_pad": True}, {"count_include_pad": False}):
        edit = replace_by(lambda features, extra=extra: pool(features, **own, **extra))
        yield Hypothesis(
            "kind of pooling", f"the {other} is pooled, not the {kind}", f"pool the {kind}", {step.number: edit}
        )


REDUCTIONS: dict[str, Callable[..., Any]] = {"mean": torch.mean, "maximum": torch.amax, "sum": torch.sum}


def _by_function(function: Callable[..., Any]) -> Edit:
    return lambda step, args, kwargs: function(*args, **kwargs)


def global_pools(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """The maximum for the mean of whole axes, or the other way round."""
    tensor, output = step.tensors[0], step.outputs[0]
    if step.name in ("mean", "amax", "sum"):
        for name, function in REDUCTIONS.items():
            edit = _by_function(function)
            if name != {"amax": "maximum"}.get(step.name, step.name):
                yield Hypothesis(
                    "kind of pooling",
                    f"the {name} is taken, not the {step.name}",
                    f"take the {step.name}",
                    {step.number: edit},
                )
        return
    size = output.shape[2:]
    largest = "max" in step.name
    own = asked.settings.get("output_size")
    for other in dict.fromkeys((*((tuple(own) if isinstance(own, list) else own,) if own else ()), 1, 2, 3, 6, 7)):
        if _pair(other) is not None and _pair(other) != tuple(size):
            text = f"the output size is {_say(_pair(other))}, the reference's {_say(list(size))}"
            edits = {step.number: step.altered(output_size=other)}
            yield Hypothesis("output size", text, f"output_size={_say(list(size))}", edits, is_read=other == own)
    pool = getattr(functional, f"adaptive_{'avg' if largest else 'max'}_pool{tensor.ndim - 2}d")
    kinds = ("maximum", "average")
    text = f"the {kinds[largest]} is pooled, not the {kinds[not largest]}"
    yield Hypothesis(
        "kind of pooling",
        text,
        f"pool the {kinds[not largest]}",
        {step.number: replace_by(lambda features: pool(features, size))},
    )


def resizes(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Corners aligned or not, and interpolated otherwise, by Paddle's own function."""
    bound = step.bind()
    size, own = list(step.outputs[0].shape[2:]), (str(bound.get("mode")), bool(bound.get("align_corners")))
    if step.outputs[0].ndim == 4:
        yield from resized(own, size, {"number": step.number})


def resized(own: tuple[str, bool] | None, size: list[int], place: Mapping[str, int]) -> Iterator[Hypothesis]:
    """Hypotheses for the resize to `size` in step `place`, or of what the unit is given."""
    for name, make in make_resizes(size).items():
        if name != own:
            mode, corners = name
            said = f"{mode}, align_corners={corners}"
            if own is not None:
                aligned = own[0] == mode
                title = "align_corners" if aligned else "mode of resizing"
                text = (
                    f"align_corners is {corners}, the reference's is {own[1]}"
                    if aligned
                    else f"resized by {said}, the reference's is {own[0]}"
                )
                yield Hypothesis(
                    title, text, f"mode={own[0]!r}, align_corners={own[1]}", {place["number"]: replace_by(make)}
                )


def make_resizes(size: list[int]) -> dict[tuple[str, bool], Callable[[Tensor], Tensor]]:
    """(mode, align_corners) -> how Paddle resizes (N, C, H, W) so."""

    def make(mode: str, corners: bool) -> Callable[[Tensor], Tensor]:
        def resize(images: Tensor) -> Tensor:
            with paddle.no_grad():
                own = paddle.nn.functional.interpolate(
                    torch_to_paddle(images), size=size, mode=mode, align_corners=corners
                )
            return paddle_to_torch(own)

        return resize

    kinds = [("bilinear", False), ("bilinear", True), ("nearest", False), ("bicubic", False), ("bicubic", True)]
    return {kind: make(*kind) for kind in kinds}


def dropouts(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Left on in evaluation, or scaling then."""
    own = step.bind().get("p")
    for rate in dict.fromkeys(rate for rate in (own, *(one for one, _ in asked.numbers())) if isinstance(rate, float)):
        text = f"evaluation multiplies by {1 - rate:g}, the share that training keeps (mode downscale_in_infer)"
        for share in dict.fromkeys((1 - rate, 1 - float(np.float32(rate)), float(np.float32(1 - rate)))):
            edit = replace_by(lambda features, share=share: features * share)
            yield Hypothesis("dropout downscales", text, 'mode="upscale_in_train"', {step.number: edit})
            if step.outputs[0].shape == asked.compared.shape and 0 < share < 1:
                edit = replace_by(lambda features, share=share: _dropped(asked.compared, features / share))
                yield Hypothesis(
                    "dropout left on", "it drops in evaluation too", "drop in training only", {step.number: edit}
                )


def _dropped(actual: Tensor, kept: Tensor) -> Tensor:
    """What is kept, where the port kept it."""
    return torch.where(actual == 0, torch.zeros_like(kept), kept)


def _pair(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value, value
    if isinstance(value, list | tuple) and value and all(isinstance(one, int) for one in value):
        return tuple(value)
    return None


def _say(value: Any) -> str:
    if isinstance(value, list | tuple) and len(set(map(str, value))) == 1:
        return str(value[0])
    return str(list(value)) if isinstance(value, list | tuple) else str(value)
