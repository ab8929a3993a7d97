"""Mistakes in train mode: edits of the reference's network, under which its pass forwards and back is run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from parity.certify.causes.engine import Hypothesis, Numbers
from parity.certify.paddle_side import PaddleSide
from parity.certify.sides import DropoutKind
from parity.certify.torch_side import TorchSide
from twins.tensors import flatten, refill

Edit = Callable[[TorchSide], None]
SCALED = 1e-9
"""Of a factor: what is one."""


@dataclass(frozen=True)
class _Mistake:
    name: str
    text: str
    fix: str
    edit: Edit


@contextmanager
def edited(side: TorchSide, edit: Edit) -> Iterator[None]:
    """Within, the side is edited, its gradients are none; afterwards it is what it was, its statistics too."""
    modules = {module: dict(vars(module)) for module in side.model.modules()}
    trainable = {parameter: parameter.requires_grad for parameter in side.model.parameters()}
    buffers = {buffer: buffer.clone() for buffer in side.model.buffers()}
    side.model.zero_grad(set_to_none=True)
    try:
        edit(side)
        yield
    finally:
        for module, own in modules.items():
            vars(module).clear()
            vars(module).update(own)
        for parameter, is_trainable in trainable.items():
            parameter.requires_grad_(is_trainable)
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)


def propose_gradients(
    sides: tuple[TorchSide, PaddleSide], guilty: str | None, factor: float | None, run: Callable[[Any, Edit], Numbers]
) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in the reference's network; `run` gives its numbers of a case under an edit.

    `guilty` is the path of the first module that is wrong by itself, if one is, and `factor` by which its gradients
    seem to be multiplied.
    """

    def hypothesis(one: _Mistake) -> Hypothesis:
        made: dict[Any, Numbers] = {}

        def repeat(key: Any) -> Numbers:
            if key not in made:
                made[key] = run(key, one.edit)
            return made[key]

        return Hypothesis(name=one.name, text=one.text, fix=one.fix, repeat=repeat)

    for level in (_read(*sides), _evaluating(sides[0]), _stopped(sides[0], guilty, factor)):
        yield map(hypothesis, level)


def _read(reference: TorchSide, port: PaddleSide) -> Iterator[_Mistake]:
    """What is read off the port's network: parameters that are not trained, norms that evaluate, other dropouts."""
    frozen = sorted(reference.parameters.keys() - port.parameters.keys())
    if frozen:
        yield _Mistake(
            "frozen parameters",
            f"{_list(frozen)}: no gradient is computed, stop_gradient is set",
            "stop_gradient=False",
            partial(_freeze, names=frozen),
        )
    norms = _norms(reference)
    evaluating = [
        path
        for path in norms
        if not port.modules[path].module.training or getattr(port.modules[path].module, "_use_global_stats", False)
    ]
    if evaluating:
        yield _evaluates(evaluating, norms)
    dropouts = _other_dropouts(reference, port)
    if dropouts:
        said = ", ".join(f"{path}: {port.dropout_kind(path)}" for path in dropouts)
        first = next(iter(dropouts))
        yield _Mistake(
            "kind of dropout",
            f"{said}, the reference's {reference.dropout_kind(first)}",
            "nn.Dropout2D as the reference's",
            partial(_drop, kinds=dropouts),
        )


def _other_dropouts(reference: TorchSide, port: PaddleSide) -> Mapping[str, DropoutKind]:
    return {
        path: port.dropout_kind(path)
        for path in reference.dropouts
        if path in port.dropouts and port.dropout_kind(path) != reference.dropout_kind(path)
    }


def _freeze(side: TorchSide, *, names: Sequence[str]) -> None:
    for name in names:
        side.tensors[name].requires_grad_(False)


def _drop(side: TorchSide, *, kinds: Mapping[str, DropoutKind]) -> None:
    for path, kind in kinds.items():
        side.mask_dropout(path, kind)


def _norms(side: TorchSide) -> list[str]:
    return [path for path, info in side.modules.items() if info.kind == "norm"]


def _evaluating(side: TorchSide) -> Iterator[_Mistake]:
    """All norms, or those of one part of the network."""
    norms = _norms(side)
    parts = dict.fromkeys(path.partition(".")[0] for path in norms)
    for part in ("", *(parts if len(parts) > 1 else ())):
        yield _evaluates([path for path in norms if not part or path.startswith(f"{part}.")], norms)


def _evaluates(paths: Sequence[str], norms: Sequence[str]) -> _Mistake:
    def edit(side: TorchSide) -> None:
        for path in paths:
            module = side.modules[path].module
            module.eval()
            module.train = lambda mode=True, module=module: module

    which = "all norms" if len(paths) == len(norms) else f"{len(paths)} of {len(norms)} norms ({_list(paths)})"
    return _Mistake(
        "evaluation mode",
        f"{which} stay in evaluation mode while training, the reference's do not",
        "call train() on them, and set no use_global_stats",
        edit,
    )


def _stopped(side: TorchSide, guilty: str | None, factor: float | None) -> Iterator[_Mistake]:
    """Gradients that stop, or that are scaled: at the guilty module; else where a part of the network begins."""
    if guilty is None:
        for path in (path for path in side.modules if path and "." not in path):
            yield _at(path, f"no gradient flows from `{path}` to what it is given", _without_inputs)
        return
    module = side.modules[guilty].module
    for number in range(2):
        yield _at(guilty, f"no gradient flows to input {number} of `{guilty}`", partial(_without_input, number=number))
    yield _at(guilty, f"no gradient flows through the features that `{guilty}` adds to", _without_residual)
    for name, _ in module.named_parameters(recurse=False):
        yield _at(guilty, f"no gradient reaches {guilty}.{name}", partial(_without_parameter, name=name))
    for path in side.modules:
        if path == guilty or path.startswith(f"{guilty}."):
            yield _at(path, f"no gradient flows through `{path}`", partial(_scaled, factor=0.0))
    if factor is not None and abs(factor - 1) > SCALED and abs(factor) > SCALED:
        text = f"the gradients of `{guilty}` are {factor:.6g} times the reference's"
        yield _at(guilty, text, partial(_scaled, factor=factor), name="gradients scaled")


Forward = Callable[..., Any]


def _at(path: str, text: str, wrap: Callable[[nn.Module, Forward], Forward], name: str = "detached") -> _Mistake:
    def edit(side: TorchSide) -> None:
        module = side.modules[path].module
        module.forward = wrap(module, module.forward)

    return _Mistake(name, text, "leave out detach(), stop_gradient and no_grad there", edit)


def _without_inputs(module: nn.Module, forward: Forward) -> Forward:
    def stopped(*args: Any, **kwargs: Any) -> Any:
        tensors = [tensor.detach() for tensor in flatten((args, kwargs))]
        args, kwargs = refill((args, kwargs), iter(tensors))
        return forward(*args, **kwargs)

    return stopped


def _without_input(module: nn.Module, forward: Forward, *, number: int) -> Forward:
    def stopped(*args: Any, **kwargs: Any) -> Any:
        tensors = flatten((args, kwargs))
        tensors[number] = tensors[number].detach()
        args, kwargs = refill((args, kwargs), iter(tensors))
        return forward(*args, **kwargs)

    return stopped


def _without_residual(module: nn.Module, forward: Forward) -> Forward:
    return lambda features: forward(features) - features + features.detach()


def _without_parameter(module: nn.Module, forward: Forward, *, name: str) -> Forward:
    def stopped(*args: Any, **kwargs: Any) -> Any:
        own = vars(module).pop("forward")
        try:
            return functional_call(module, {name: getattr(module, name).detach()}, args, kwargs)
        finally:
            module.forward = own

    return stopped


def _scaled(module: nn.Module, forward: Forward, *, factor: float) -> Forward:
    def scaled(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        return output.detach() + factor * (output - output.detach())

    return scaled


def _list(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
