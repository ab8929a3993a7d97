"""Hypotheses about layers without parameters that change sizes or drop: pooling, resizing, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models_paddle import paddle
from parity.causes.hypotheses import Asked, Hypothesis, replace_by
from parity.causes.layers import as_pair, say
from parity.causes.steps import Edit, Step
from twins.tensors import paddle_to_torch, torch_to_paddle


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
    if as_pair(value) is not None and as_pair(own) is not None and as_pair(value) != as_pair(own):
        text = f"{name} is {say(as_pair(value))}, the reference's is {say(as_pair(own))}"
        edits = {step.number: step.altered(**{name: value})}
        yield Hypothesis(name.replace("_", " "), text, f"{name}={say(as_pair(own))}", edits, is_read=is_read)


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
        axis = step.bind().get("dim")
        for name, place in (("first", 0), ("last", -1)) if type(axis) is int else ():
            text = f"the {name} of {step.label(0)} along axis {axis} is taken, not the {step.name}"
            edit = replace_by(lambda x, axis=axis, place=place: x.select(axis, place))
            yield Hypothesis("another pick", text, f"take the {step.name}", {step.number: edit})
        return
    size = output.shape[2:]
    largest = "max" in step.name
    own = asked.settings.get("output_size")
    for other in dict.fromkeys((*((tuple(own) if isinstance(own, list) else own,) if own else ()), 1, 2, 3, 6, 7)):
        if as_pair(other) is not None and as_pair(other) != tuple(size):
            text = f"the output size is {say(as_pair(other))}, the reference's {say(list(size))}"
            edits = {step.number: step.altered(output_size=other)}
            yield Hypothesis("output size", text, f"output_size={say(list(size))}", edits, is_read=other == own)
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
    mode, corners = str(bound.get("mode")), bool(bound.get("align_corners"))
    if step.outputs[0].ndim != 4:
        return
    for (other, aligned), make in make_resizes([int(side) for side in step.outputs[0].shape[2:]]).items():
        edits = {step.number: replace_by(make)}
        fix = f"mode={mode!r}, align_corners={corners}"
        if other != mode:
            text = f"resized by {other}, align_corners={aligned}, the reference's is {mode}"
            yield Hypothesis("mode of resizing", text, fix, edits)
        elif aligned != corners:
            text = f"align_corners is {aligned}, the reference's is {corners}"
            yield Hypothesis("align_corners", text, fix, edits)


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
