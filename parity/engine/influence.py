"""Which parameters the outputs depend on: a mistake in any other cannot be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from parity.networks.arguments import Arguments
from twins.lazy import Tensor, nn, torch
from twins.tensors import flatten

NEGLIGIBLE = 1e-12
"""Of the network's greatest influence. Rounding leaves a gradient of about 1e-16 where it is zero by analysis."""

SIDES = (33, 97, 193)
"""Pixels. The gradient needs the whole pass in memory, and a corner of a large image mostly shows the same."""


def find_uninfluential(model: nn.Module, arguments: Arguments) -> tuple[list[str], list[str]]:
    """Names of the parameters that the outputs of `model` (eval mode, best in float64) do not depend on.

    Second, those of them that are dead: weights of modules that the pass called. A bias alone may have no
    influence by analysis, as the key's before a softmax.

    Influence is the greatest |gradient| times the greatest |parameter| (alone, if the parameter is zero), for a fixed
    random weighting of the outputs. What is dead in a corner of the images is looked for in a larger one; a
    model that refuses the corner, as one of a fixed input size does, gets them whole.
    """
    found: list[str] = []
    dead: list[str] = []
    for corner in _corners(arguments):
        try:
            found, dead = _trace(model, corner)
        except Exception:  # whatever the model says of a size that it was not made for
            if corner is arguments:
                raise
            return _trace(model, arguments)
        if not dead:
            break
    return found, dead


def _corners(arguments: Arguments) -> Iterator[Arguments]:
    """Ever larger ones, up to the whole, where there is one argument, images (N, C, H, W)."""
    images = arguments.args[0] if len(arguments.tensors) == len(arguments.args) == 1 else None
    if images is None or images.ndim != 4:
        yield arguments
        return
    for side in SIDES:
        if max(images.shape[2:]) > side:
            yield Arguments((images[..., :side, :side],))
    if max(images.shape[2:]) <= SIDES[-1]:
        yield arguments


def _trace(model: nn.Module, arguments: Arguments) -> tuple[list[str], list[str]]:
    try:
        return _differentiate(model, arguments, nullcontext())
    except RuntimeError:  # code for inference may overwrite what the way back needs: it is given copies
        copies = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor)
        return _differentiate(model, arguments, copies)


def _differentiate(
    model: nn.Module, arguments: Arguments, saving: AbstractContextManager[Any]
) -> tuple[list[str], list[str]]:
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    called: set[str] = set()
    handles = [
        module.register_forward_hook(lambda *_, path=path: called.add(path)) for path, module in model.named_modules()
    ]
    influence = dict.fromkeys(parameters, 0.0)
    with torch.enable_grad(), _observed_gradients(parameters, influence), saving:
        try:
            outputs = [output for output in flatten(arguments.call(model)) if output.requires_grad]
        finally:
            for handle in handles:
                handle.remove()
        if outputs:
            generator = torch.Generator().manual_seed(0)
            weightings = [torch.randn(output.shape, generator=generator, dtype=output.dtype) for output in outputs]
            torch.autograd.backward(
                outputs, [weighting.to(output.device) for weighting, output in zip(weightings, outputs, strict=True)]
            )
    least = NEGLIGIBLE * max(influence.values(), default=0.0)
    found = [name for name, value in influence.items() if value <= least]
    dead = [name for name in found if name.rpartition(".")[0] in called and not name.endswith("bias")]
    return found, dead


@contextmanager
def _observed_gradients(parameters: Mapping[str, Tensor], influence: dict[str, float]) -> Iterator[None]:
    """Fills `influence` while the gradients appear: each is dropped at once, so that they never fill memory."""
    before = [(parameter, parameter.requires_grad, parameter.grad) for parameter in parameters.values()]
    handles = []
    try:
        for name, parameter in parameters.items():

            def note(parameter: Tensor, name: str = name) -> None:
                influence[name] = _influence(parameter)
                parameter.grad = None

            parameter.grad = None
            handles.append(parameter.requires_grad_().register_post_accumulate_grad_hook(note))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for parameter, requires_grad, gradient in before:
            parameter.requires_grad_(requires_grad).grad = gradient


def _influence(parameter: Tensor) -> float:
    if parameter.grad is None or not parameter.numel():
        return 0.0
    return _greatest(parameter.grad) * (_greatest(parameter.detach()) or 1.0)


def _greatest(values: Tensor) -> float:
    return max(abs(float(bound)) for bound in torch.aminmax(values))
