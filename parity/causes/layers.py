"""Hypotheses about layers with a kernel or a matrix: how a porter may have built a convolution or a linear layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from torch import Tensor
from torch.nn import functional

from parity.causes.hypotheses import Asked, Hypothesis
from parity.causes.steps import Edit, Step


def convolutions(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Stride, padding, dilation and bias, as the port's layer has them, and the usual mistakes."""
    bound = step.bind()
    own = {name: as_pair(bound.get(name, default)) for name, default in CONVOLUTION.items()}
    if any(value is None for value in own.values()) or not isinstance(bound.get("weight"), Tensor):
        return
    seen: set[str] = set()
    read, usual = _read_convolution(asked, own), _usual_convolutions(own, bound["weight"].shape[2:])
    for settings, is_own in (*((one, True) for one in read), *((one, False) for one in usual)):
        changed = {name: value for name, value in settings.items() if value != own.get(name, "zeros")}
        text = ", ".join(f"{TITLES[name]} is {say(value)}" for name, value in changed.items())
        if text and text not in seen:
            seen.add(text)
            were = ", ".join(say(own.get(name, "zeros")) for name in changed)
            fix = ", ".join(f"{name}={say(own.get(name, 'zeros'))}" for name in changed)
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
        found[name] = as_pair(found[name]) or own[name]
    found["padding"] = as_pair(found["padding"]) or found["padding"]
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


def pads(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """A border made in another way, or none."""
    own = step.bind().get("mode", "constant")
    for mode in ("constant", "reflect", "replicate", "circular"):
        if mode != own:
            text = f"the border is padded by {mode}, the reference's by {own}"
            edits = {step.number: step.altered(mode=mode, value=None)}
            yield Hypothesis("padding mode", text, f"mode={own!r}", edits)
    widths = step.bind().get("pad")
    if not isinstance(widths, list | tuple):
        return
    sides = [tuple(widths[place : place + 2]) for place in range(0, len(widths), 2)]
    before, after = ([(sum(side), 0) for side in sides], [(0, sum(side)) for side in sides])
    exchanged = product(*((side, side[::-1]) for side in sides))
    for other in dict.fromkeys(tuple(one) for one in (*exchanged, sides[::-1], before, after)):
        if other != tuple(sides):
            flat = [width for side in other for width in side]
            text = f"the border is {flat} wide, the reference's {list(widths)}"
            yield Hypothesis("sides of padding", text, f"pad {list(widths)}", {step.number: step.altered(pad=flat)})


def linears(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Without its bias, or by the weight the other way round."""
    bound = step.bind()
    if bound.get("bias") is not None:
        text = f"the bias {step.label(2)} is not added" if len(step.labels) > 2 else "the bias is not added"
        yield Hypothesis("bias missing", text, "add it", {step.number: step.altered(bias=None)})
    weight = bound.get("weight")
    if isinstance(weight, Tensor) and weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
        text = "the product is with the weight transposed"
        edits = {step.number: _with_kernel(lambda kernel: kernel.t())}
        yield Hypothesis("weight transposed", text, "Paddle keeps (in, out), torch (out, in)", edits)


def as_pair(value: Any) -> tuple[int, ...] | None:
    """A setting of one number, or of one for each axis, as the latter; None for what is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value, value
    if isinstance(value, list | tuple) and value and all(isinstance(one, int) for one in value):
        return tuple(value)
    return None


def say(value: Any) -> str:
    """A setting for people: one number where all are one."""
    if isinstance(value, list | tuple) and len(set(map(str, value))) == 1:
        return str(value[0])
    return str(list(value)) if isinstance(value, list | tuple) else str(value)
