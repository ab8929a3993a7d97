"""`compare_models`: two networks, layer by layer, in two modes and two precisions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parity.attributes import compare_attributes
from parity.follow import Follower, Sink
from parity.incumbents import CRITERIA, judge
from parity.influence import find_uninfluential
from parity.modules import ModuleInfo, paddle_modules, torch_modules
from parity.pairing import Pairing, pair_modules
from parity.report import Coverage, Guilty, Layer, Report
from parity.stream import Reference
from processor import quiet_collector, return_freed_memory

Array = np.ndarray[Any, Any]
Images = Array | Mapping[str, Array]

MODES = {"free": ("free",), "isolated": ("isolated",), "both": ("isolated", "free")}


def compare_models(
    torch_module: nn.Module,
    paddle_layer: Any,
    images: Images,
    *,
    pairs: Mapping[str, str] | Pairing | None = None,
    mode: str = "both",
    dtypes: Sequence[str] = ("float64", "float32"),
    accept: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    fail_fast: bool = False,
    weights: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda phase: None,
    sink: Sink | None = None,
) -> Report:
    """Compare any torch module with any Paddle layer, module by module, in evaluation mode.

    `images`: an array (N, ...) or several by name; rounded to float32 in both precisions. `pairs`: torch path -> Paddle
    path, or a finished pairing; by default by equal paths, else proposed (`parity.pairing`).
    `mode`: "free", "isolated" or "both".
    `dtypes`: float64 asks whether it is the same function, float32 whether its rounding is ordinary.
    `accept`: globs of paths or parameters whose gap (unpaired, uninfluential) is accepted. `only`, `skip`:
    globs of the torch paths to compare. `fail_fast` stops at the first failure.
    `sink` is shown each output of the free passes: the probe, Paddle's tensor and torch's.

    Both models are left as they were. Raises ParityInputError for a wrong mapping, and whatever the models raise.
    """
    inputs = dict(images) if isinstance(images, Mapping) else {_shape_name(images): images}
    run = _Run(torch_module, paddle_layer, inputs, progress=progress, fail_fast=fail_fast, sink=sink)
    ours, theirs = torch_modules(torch_module), paddle_modules(paddle_layer)
    pairing = pairs if isinstance(pairs, Pairing) else pair_modules(ours, theirs, pairs)
    chosen = {path: target for path, target in pairing.pairs.items() if _chosen(path, only, skip)}
    with run.in_eval_mode(), quiet_collector():
        return_freed_memory()
        run.find_uninfluential(sharp="float64" in dtypes)
        return_freed_memory()
        run.compare(pairing.pairs, chosen, theirs, MODES[mode], dtypes)
    coverage = _coverage(pairing, chosen, run, accept)
    attributes = _attributes(chosen, ours, theirs)
    return Report(
        layers=tuple(run.layers),
        coverage=coverage,
        guilty=tuple(_in_order([*find_guilty(run.layers), *attributes], run.layers)),
        problems=tuple(_problems(coverage, run, accept, weights or {})),
        weights=weights or {},
        pairs=chosen if pairing.origin != "path" else {},
        settings=settings or {},
        incumbents={
            name: {"passed": all(verdict[name] for verdict in run.verdicts), "detail": criterion.description}
            for name, criterion in (CRITERIA.items() if run.verdicts else ())
        },
    )


class _Stop(Exception):  # noqa: N818 - no error
    """Ends a pass at its first failure."""


class _Run:
    """One comparison under way: the models, the inputs, and what has been found."""

    def __init__(
        self,
        torch_module: nn.Module,
        paddle_layer: Any,
        inputs: Mapping[str, Array],
        *,
        progress: Callable[[str], None],
        fail_fast: bool,
        sink: Sink | None,
    ) -> None:
        self.torch, self.paddle, self.inputs = torch_module, paddle_layer, inputs
        self.progress, self.fail_fast, self.sink = progress, fail_fast, sink
        self.layers: list[Layer] = []
        self.unmatched: dict[str, None] = {}
        self.leftover: dict[str, None] = {}
        self.uninfluential: tuple[str, ...] = ()
        self.dead: tuple[str, ...] = ()
        self.chosen: frozenset[str] = frozenset()
        self.verdicts: list[dict[str, bool]] = []

    @contextmanager
    def in_eval_mode(self) -> Iterator[None]:
        """Both models in evaluation mode, and afterwards in the modes and dtypes they had."""
        with ExitStack() as stack:
            for model in (self.torch, self.paddle):
                stack.enter_context(evaluating(model))
            yield

    def find_uninfluential(self, *, sharp: bool) -> None:
        """Note the parameters of the torch module that no output depends on, on the smallest input.

        `sharp`: in float64, where a gradient that is zero by analysis is told from rounding.
        """
        self.progress("influence of parameters")
        smallest = min(self.inputs.values(), key=lambda images: images.size)
        model = copy.deepcopy(self.torch).double() if sharp else self.torch
        like = next(model.parameters(), torch.zeros(0))
        found, dead = find_uninfluential(model, torch.from_numpy(smallest).to(like.device, like.dtype))
        self.uninfluential, self.dead = tuple(found), tuple(dead)

    def compare(
        self,
        pairs: Mapping[str, str],
        chosen: Mapping[str, str],
        theirs: Mapping[str, ModuleInfo],
        modes: Sequence[str],
        dtypes: Sequence[str],
    ) -> None:
        """All modes, dtypes and inputs; float64 first, since it is the sharper question.

        Isolation needs every pair to be followed, whichever are chosen to be reported.
        """
        self.chosen = frozenset(chosen)
        truth = copy.deepcopy(self.torch).double() if "float64" in dtypes else None
        for dtype in sorted(dtypes, reverse=True):
            with _cast(self.torch, self.paddle, dtype):
                for mode in modes:
                    for name in self.inputs:
                        self.progress(f"{mode} {dtype} {name}")
                        try:
                            followed = pairs if mode == "isolated" else chosen
                            self._pass(followed, theirs, mode, dtype, name, truth if dtype == "float32" else None)
                        except _Stop:
                            return

    def _add(self, layer: Layer) -> None:
        if layer.path not in self.chosen:
            return
        self.layers.append(layer)
        if self.fail_fast and not layer.comparison:
            raise _Stop

    def _show(self, layer: Layer, actual: Tensor, expected: Tensor) -> None:
        """Judge the network's float32 outputs as other tools would, and pass every output on."""
        if layer.path == "" and layer.dtype == "float32":
            self.verdicts.append(judge(actual.cpu(), expected.cpu()))
        if self.sink is not None:
            self.sink(layer, actual, expected)

    def _pass(
        self,
        pairs: Mapping[str, str],
        theirs: Mapping[str, ModuleInfo],
        mode: str,
        dtype: str,
        name: str,
        truth: nn.Module | None,
    ) -> None:
        from models_paddle import paddle

        isolated = mode == "isolated"
        images = self.inputs[name].astype(np.float32).astype(dtype)  # the same values in both precisions
        device = next(iter([parameter.device for parameter in self.torch.parameters()]), torch.device("cpu"))
        reference = Reference(self.torch, torch.from_numpy(images).to(device), pairs, truth=truth, isolated=isolated)
        follower = Follower(
            theirs,
            {target: path for path, target in pairs.items()},
            reference,
            isolated=isolated,
            channels_last=any(_is_channels_last(info.module) for info in theirs.values()),
            coordinates={"mode": mode, "dtype": dtype, "input": name},
            on_layer=self._add,
            sink=self._show if mode == "free" else None,
        )
        try:
            follower.run(self.paddle, paddle.to_tensor(images))
            for kind, path, call in reference.leftover():
                if kind == "output" and not _is_bypassed(theirs[pairs[path]], follower):
                    self.leftover[_call_name(path, call)] = None
        finally:
            reference.close()
        self.unmatched |= {_call_name(path, call): None for path, call in follower.unmatched}


def find_guilty(layers: Sequence[Layer]) -> list[Guilty]:
    """The layers that are wrong by themselves, in order of execution, each once, by its isolated failures."""
    found: dict[tuple[str, int], Guilty] = {}
    for layer in layers:
        if layer.mode == "isolated" and not layer.comparison:
            found.setdefault(
                (layer.path, layer.call),
                Guilty(
                    path=layer.path,
                    call=layer.call,
                    dtype=layer.dtype,
                    site=layer.site,
                    reason=layer.comparison.reason,
                ),
            )
    return list(found.values())


def _in_order(guilty: Sequence[Guilty], layers: Sequence[Layer]) -> list[Guilty]:
    """Each layer's first entry, in order of execution."""
    once = {(entry.path, entry.call): entry for entry in reversed(guilty)}
    order = {layer.path: number for number, layer in reversed(list(enumerate(layers)))}
    return sorted(once.values(), key=lambda entry: (order.get(entry.path, len(layers)), entry.call))


def _attributes(
    pairs: Mapping[str, str], ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> list[Guilty]:
    found = []
    for path, target in pairs.items():
        reason = compare_attributes(ours[path], theirs[target])
        if reason:
            found.append(Guilty(path=path, call=0, dtype="", site="attributes", reason=reason))
    return found


def _coverage(pairing: Pairing, chosen: Mapping[str, str], run: _Run, accept: Sequence[str]) -> Coverage:
    seen = {layer.path for layer in run.layers}
    return Coverage(
        paired=tuple(path for path in chosen if path in seen),
        unpaired_torch=(*pairing.unpaired_torch, *run.leftover),
        unpaired_paddle=(*pairing.unpaired_paddle, *run.unmatched),
        uncovered=pairing.uncovered,
        ambiguous=pairing.ambiguous,
        uncalled=tuple(path for path in chosen if path not in seen and not run.fail_fast),
        uninfluential=run.uninfluential,
        accepted=tuple(accept),
        origin=pairing.origin,
    )


def _problems(coverage: Coverage, run: _Run, accept: Sequence[str], weights: Mapping[str, Any]) -> Iterator[str]:
    def open_gaps(names: Sequence[str]) -> list[str]:
        return [name for name in names if not any(fnmatch(name.partition(" #")[0], glob) for glob in accept)]

    if weights.get("different"):
        different = weights["different"]
        yield f"{len(different)} weights differ from the source's after conversion, first {different[0]}"
    if not run.layers:
        yield "nothing was compared"
    gaps = (
        (tuple(run.leftover), "calls that only torch makes"),
        (tuple(run.unmatched), "calls that only Paddle makes"),
        (coverage.uncovered, "layers with parameters and no counterpart"),
        (coverage.ambiguous, "layers with several counterparts of equal weights"),
        (run.dead, "parameters that influence no output, so that a mistake in them is invisible"),
    )
    for names, what in gaps:
        remaining = open_gaps(names)
        if remaining:
            more = f" and {len(remaining) - 3} more" if len(remaining) > 3 else ""
            yield f"{len(remaining)} {what}: {', '.join(remaining[:3])}{more}; accept by name with --accept"


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


def _is_bypassed(layer: ModuleInfo, follower: Follower) -> bool:
    """A layer without tensors that Paddle never calls, such as an activation done by a function.

    What it does is seen at the next layer's input; it is listed as never called.
    """
    return layer.kind == "plain" and not layer.tensors and layer.path not in follower.calls


def _is_channels_last(layer: Any) -> bool:
    return getattr(layer, "_data_format", None) == "NHWC"


def _chosen(path: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    return (not only or any(fnmatch(path, glob) for glob in only)) and not any(fnmatch(path, glob) for glob in skip)


def _call_name(path: str, call: int) -> str:
    return f"{path} #{call}"


def _shape_name(images: Array) -> str:
    return "×".join(map(str, images.shape))
