"""The passes of a comparison: both networks, on each input, in each mode and precision."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parity.engine.follow import Follower, Sink
from parity.engine.influence import find_uninfluential
from parity.engine.stream import Reference
from parity.networks.modules import ModuleInfo
from parity.verdicts.incumbents import judge
from parity.verdicts.report import Layer

Array = np.ndarray[Any, Any]

Failure = tuple[str, int, str, str]
"""Accused torch path, call, site (of a `Layer`, or CALLS) and input."""

CALLS = "calls"
"""Site of a call that only one side makes."""


@dataclass
class Findings:
    """What one comparison found.

    `unmatched` and `leftover` are calls that only Paddle or only torch makes: torch path and number -> name of the
    call. `verdicts` are what other tools would have said of the outputs.
    """

    layers: list[Layer] = field(default_factory=list)
    unmatched: dict[tuple[str, int], str] = field(default_factory=dict)
    leftover: dict[tuple[str, int], str] = field(default_factory=dict)
    verdicts: list[dict[str, bool]] = field(default_factory=list)

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            [*self.layers, *other.layers],
            self.unmatched | other.unmatched,
            self.leftover | other.leftover,
            [*self.verdicts, *other.verdicts],
        )

    @property
    def failing(self) -> list[Layer]:
        """The comparisons that failed."""
        return [layer for layer in self.layers if not layer.comparison]

    @property
    def failures(self) -> set[Failure]:
        """Everything that is wrong."""
        calls = {(path, call, CALLS, "") for path, call in (*self.unmatched, *self.leftover)}
        return calls | {_failure(layer) for layer in self.failing}

    @property
    def misshapen(self) -> set[Failure]:
        """What cannot even be measured, such as another shape."""
        return {_failure(layer) for layer in self.failing if math.isinf(layer.comparison.relative)}


def _failure(layer: Layer) -> Failure:
    return layer.path, layer.call, layer.site, layer.input


class _Stop(Exception):  # noqa: N818 - no error
    """Ends a pass at its first failure."""


class Passes:
    """Runs both models on the inputs; `theirs` are Paddle's modules by path.

    `exact`: float64 is asked for, so that there is a truth for float32.
    """

    def __init__(
        self,
        torch_module: nn.Module,
        paddle_layer: Any,
        theirs: Mapping[str, ModuleInfo],
        inputs: Mapping[str, Array],
        *,
        exact: bool,
        progress: Callable[[str], None],
        fail_fast: bool,
    ) -> None:
        self.torch, self.paddle, self.theirs, self.inputs = torch_module, paddle_layer, theirs, inputs
        self.exact, self.progress, self.fail_fast = exact, progress, fail_fast

    @contextmanager
    def in_eval_mode(self) -> Iterator[None]:
        """Both models in evaluation mode, and afterwards in the modes and dtypes they had."""
        with ExitStack() as stack:
            for model in (self.torch, self.paddle):
                stack.enter_context(evaluating(model))
            yield

    def find_uninfluential(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The parameters of the torch module that no output depends on, on the smallest input, and the dead of them.

        In float64, if that is asked for: a gradient that is zero by analysis is told from rounding.
        """
        self.progress("influence of parameters")
        smallest = min(self.inputs.values(), key=lambda images: images.size)
        model = copy.deepcopy(self.torch).double() if self.exact else self.torch
        like = next(model.parameters(), torch.zeros(0))
        found, dead = find_uninfluential(model, torch.from_numpy(smallest).to(like.device, like.dtype))
        return tuple(found), tuple(dead)

    def compare(
        self,
        pairs: Mapping[str, str],
        chosen: Collection[str],
        phases: Sequence[tuple[str, str]],
        sink: Sink | None,
    ) -> Findings:
        """All inputs in each phase, a dtype and a mode.

        Isolation needs every pair to be followed, whichever are chosen to be reported.
        """
        found = Findings()
        report = _Reporter(found, chosen, fail_fast=self.fail_fast, sink=sink)
        free = {path: target for path, target in pairs.items() if path in chosen}
        truth = None
        for dtype, mode in phases:
            if dtype == "float32" and self.exact:
                truth = truth or copy.deepcopy(self.torch).double()
            with _cast(self.torch, self.paddle, dtype):
                for name in self.inputs:
                    self.progress(f"{mode} {dtype} {name}")
                    try:
                        self._pass(free if mode == "free" else pairs, mode, dtype, name, truth, report)
                    except _Stop:
                        return found
        return found

    def isolate(self, pairs: Mapping[str, str]) -> Findings:
        """Everything that is found isolated in float64."""
        passes = copy.copy(self)
        passes.exact = passes.fail_fast = False
        return passes.compare(pairs, pairs, [("float64", "isolated")], None)

    def _pass(
        self,
        pairs: Mapping[str, str],
        mode: str,
        dtype: str,
        name: str,
        truth: nn.Module | None,
        report: _Reporter,
    ) -> None:
        from models_paddle import paddle

        isolated = mode == "isolated"
        sources = {target: path for path, target in pairs.items()}
        images = self.inputs[name].astype(np.float32).astype(dtype)  # the same values in both precisions
        device = next(iter([parameter.device for parameter in self.torch.parameters()]), torch.device("cpu"))
        reference = Reference(self.torch, torch.from_numpy(images).to(device), pairs, truth=truth, isolated=isolated)
        follower = Follower(
            self.theirs,
            sources,
            reference,
            isolated=isolated,
            channels_last=any(_is_channels_last(info.module) for info in self.theirs.values()),
            coordinates={"mode": mode, "dtype": dtype, "input": name},
            on_layer=report.add,
            sink=report.show if mode == "free" else None,
        )
        try:
            follower.run(self.paddle, paddle.to_tensor(images))
            for kind, path, call in reference.leftover():
                if kind == "output" and not _is_bypassed(path, pairs, self.theirs, follower):
                    report.found.leftover[path, call] = f"{path} #{call}"
        finally:
            reference.close()
        report.found.unmatched |= {(sources[target], call): f"{target} #{call}" for target, call in follower.unmatched}


class _Reporter:
    """Notes in `found` what the passes show of the chosen modules."""

    def __init__(self, found: Findings, chosen: Collection[str], *, fail_fast: bool, sink: Sink | None) -> None:
        self.found, self._chosen, self._fail_fast, self._sink = found, frozenset(chosen), fail_fast, sink

    def add(self, layer: Layer) -> None:
        if layer.path not in self._chosen:
            return
        self.found.layers.append(layer)
        if self._fail_fast and not layer.comparison:
            raise _Stop

    def show(self, layer: Layer, actual: Tensor, expected: Tensor) -> None:
        """Judge the network's float32 outputs as other tools would, and pass every output on."""
        if layer.path == "" and layer.dtype == "float32":
            self.found.verdicts.append(judge(actual.cpu(), expected.cpu()))
        if self._sink is not None:
            self._sink(layer, actual, expected)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    modules = list(model.modules()) if isinstance(model, nn.Module) else model.sublayers(include_self=True)
    modes = [module.training for module in modules]
    model.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training


@contextmanager
def _cast(torch_module: nn.Module, paddle_layer: Any, dtype: str) -> Iterator[None]:
    """Both models in `dtype`, and afterwards in the dtype of their first parameter before."""
    own = [_dtype_of(torch_module.parameters()), _dtype_of(paddle_layer.parameters())]
    torch_module.to(getattr(torch, dtype))
    _to_paddle_dtype(paddle_layer, dtype)
    try:
        yield
    finally:
        if own[0]:
            torch_module.to(getattr(torch, own[0]))
        if own[1]:
            _to_paddle_dtype(paddle_layer, own[1])


def _to_paddle_dtype(layer: Any, dtype: str) -> None:
    """`layer` in `dtype`. Paddle would copy every tensor, also to the dtype that it has."""
    if any(_dtype_name(tensor) != dtype for tensor in (*layer.parameters(), *layer.buffers())):
        layer.to(dtype=dtype)


def _dtype_of(parameters: Any) -> str | None:
    first = next(iter(parameters), None)
    return None if first is None else _dtype_name(first)


def _dtype_name(tensor: Any) -> str:
    return str(tensor.dtype).rpartition(".")[2].lower()


def _is_bypassed(path: str, pairs: Mapping[str, str], theirs: Mapping[str, ModuleInfo], follower: Follower) -> bool:
    """A pair that Paddle never calls, while what it does is seen around it, and which is listed as never called.

    An activation done by a function is seen at the next layer's input, a container whose layers are called one by one
    in them, and a layer with parameters that a function uses in the module around it, short of the network itself.
    """
    if pairs[path] in follower.calls:
        return False
    around = path
    while around := around.rpartition(".")[0]:
        if pairs.get(around) in follower.calls:
            return True
    return not theirs[pairs[path]].tensors


def _is_channels_last(layer: Any) -> bool:
    return getattr(layer, "_data_format", None) == "NHWC"
