"""The passes of a comparison: both networks, on each input, in each mode and precision."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from parity.engine.boundaries import Boundaries
from parity.engine.conditioning import measure_conditioning
from parity.engine.conventions import Convention, find_training_layers
from parity.engine.findings import Findings, Reporter, Stop
from parity.engine.follow import Follower, Sink
from parity.engine.influence import find_uninfluential
from parity.engine.scalars import Constants, Scalars, write_out
from parity.engine.search import Search
from parity.engine.stream import Reference
from parity.engine.surroundings import as_written, cast, evaluating, native_kernels
from parity.engine.witness import Witness
from parity.networks.arguments import Arguments
from parity.networks.modules import ModuleInfo, torch_modules
from parity.verdicts.comparison import rejudge
from parity.verdicts.report import Layer
from twins.lazy import Tensor, nn, torch
from twins.tensors import flatten

Array = np.ndarray[Any, Any]
CORNER = 33
"""Pixels of the corner on which the port's outputs are counted."""


class Passes:
    """Runs both models on the inputs; `theirs` are the port's modules by path.

    `with_truth`: float64 is asked for, so that there is a truth for float32. `prepare` is given the float64 copy of the
    reference before its first pass.
    """

    def __init__(
        self,
        reference: nn.Module,
        port: Any,
        theirs: Mapping[str, ModuleInfo],
        inputs: Mapping[str, Arguments],
        *,
        with_truth: bool,
        prepare: Callable[[nn.Module], None],
        progress: Callable[[str], None],
        fail_fast: bool,
    ) -> None:
        self.reference, self.port, self.theirs, self.inputs = reference, port, theirs, inputs
        self.with_truth, self.progress, self.fail_fast = with_truth, progress, fail_fast
        self._prepare = prepare
        self.convention, self.constants = Convention(), Constants()
        self.notes: list[str] = []
        self._channels_last = any(_is_channels_last(info.module) for info in theirs.values())

    @cached_property
    def exact(self) -> nn.Module:
        """The reference in float64: what is true."""
        model = copy.deepcopy(self.reference).double()
        self._prepare(model)
        return model

    @cached_property
    def exact_modules(self) -> dict[str, ModuleInfo]:
        """Its modules."""
        return torch_modules(self.exact)

    @contextmanager
    def in_eval_mode(self) -> Iterator[None]:
        """Both models in evaluation mode, and afterwards in the modes and dtypes they had.

        Within, torch's own kernels round as finely as they can, and the port runs as it is written: its static graphs
        as dynamic ones, its synchronised norms on this one device.
        """
        with ExitStack() as stack:
            for model in (self.reference, self.port):
                stack.enter_context(evaluating(model))
            stack.enter_context(native_kernels())
            stack.enter_context(as_written())
            stack.enter_context(self.constants.applied())
            yield

    def find_uninfluential(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The parameters of the reference that no output depends on, on the smallest input, and the dead of them.

        In float64, if that is asked for: a gradient that is zero by analysis is told from rounding.
        """
        self.progress("influence of parameters")
        smallest = min(self.inputs.values(), key=lambda arguments: sum(array.size for array in arguments.tensors))
        model = self.exact if self.with_truth else self.reference
        try:
            found, dead = find_uninfluential(model, self._torch_arguments(smallest, model))
        except RuntimeError as error:
            if "inplace" not in str(error) and "does not require grad" not in str(error):
                raise
            reason = " ".join(str(error).split())[:120]
            self.notes.append(f"which parameters influence no output is not known, torch cannot tell: {reason}")
            return (), ()
        return tuple(found), tuple(dead)

    def find_convention(self) -> None:
        """See how many outputs the port gives, and in which mode it gives as many as the reference."""
        smallest = min(self.inputs.values(), key=lambda arguments: sum(array.size for array in arguments.tensors))
        try:
            self.convention = self._find_convention(smallest.map(_corner))
        except Exception:  # noqa: BLE001 - whatever the models say of a size that they were not made for
            self.convention = self._find_convention(smallest)
        for model in {
            id(one): one for one in (self.reference, self.exact if self.with_truth else self.reference)
        }.values():
            model.training = self.convention.reference_trains

    def _find_convention(self, arguments: Arguments) -> Convention:
        from models_paddle import paddle

        expected, reference_trains = self._count_expected(arguments)

        def count() -> int:
            with paddle.no_grad():
                return len(flatten(paddle_arguments(arguments, dtype).call(self.port)))

        dtype = "float64" if self.with_truth else "float32"  # the first loses no digit of any weight
        with cast(None, self.port, dtype):
            return Convention(find_training_layers(self.port, count, expected), reference_trains)

    def _count_expected(self, arguments: Arguments) -> tuple[int, bool]:
        """The reference's outputs, and whether it gives more of them when it, but no layer inside, is in train mode."""
        own = self._torch_arguments(arguments, self.reference)
        with torch.no_grad():
            evaluated = flatten(own.call(self.reference))
            self.reference.training = True
            try:
                trained = flatten(own.call(self.reference))
            finally:
                self.reference.training = False
        same = all(torch.equal(one, two) for one, two in zip(evaluated, trained, strict=False))
        if same and len(trained) > len(evaluated):  # and it draws nothing by chance
            return len(trained), True
        return len(evaluated), False

    def compare(
        self,
        boundaries: Boundaries,
        chosen: Collection[str],
        phases: Sequence[tuple[str, str]],
        sink: Sink | None = None,
        search: Search | None = None,
        witness: Witness | None = None,
    ) -> Findings:
        """All inputs in each phase, a dtype and a mode; `chosen` reference's paths are reported.

        A `witness` keeps what the port gave where it failed, isolated in float64.

        Isolation needs every pair to be followed, whichever are chosen to be reported.
        """
        found = Findings()
        report = Reporter(found, chosen, fail_fast=self.fail_fast, sink=sink, witness=witness)
        for dtype, mode in phases:
            followed = boundaries if mode == "isolated" else boundaries.only(chosen)
            with cast(self._to_cast(dtype), self.port, dtype):
                for name in self.inputs:
                    self.progress(f"{mode} {dtype} {name}")
                    try:
                        self._pass(followed, mode, dtype, name, report, search)
                    except Stop:
                        return found
        return found

    def write_out(self, scalars: Scalars, count: Callable[[], int], failures: int) -> None:
        """Write the reference's scalars otherwise where that makes fewer than `failures` fail, as `count` counts."""
        write_out(scalars, count, failures)

    def _to_cast(self, dtype: str) -> nn.Module | None:
        """The reference, where it runs in float32 itself."""
        return self.reference if dtype == "float32" else None

    def isolate(self, boundaries: Boundaries, search: Search | None = None) -> Findings:
        """Everything that is found isolated in float64."""
        passes = copy.copy(self)
        passes.__dict__["exact"] = self.exact
        passes.fail_fast = False
        return passes.compare(boundaries, boundaries.accusable, [("float64", "isolated")], search=search)

    def outputs_agree(self) -> bool:
        """Whether the networks' outputs do, free-running in float64."""
        passes = copy.copy(self)
        passes.__dict__["exact"] = self.exact
        passes.fail_fast = False
        found = passes.compare(Boundaries({"": ""}, {"": ""}), [""], [("float64", "free")])
        return bool(found.layers) and not self.judge_by_conditioning(found).failures

    def judge_by_conditioning(self, found: Findings) -> Findings:
        """With free-running failures judged anew by how far the reference itself carries rounding.

        A network that amplifies a rounding error beyond the limit is not another function for that; nor is one whose
        errors in float32, which a single pass of the reference samples once, happen to be greater in the port's.
        """
        for dtype, error in (("float64", _error_of_port), ("float32", _error_of_reference)):
            found = self._judge_in(dtype, found, error)
        return found

    def _judge_in(self, dtype: str, found: Findings, error: Callable[[Layer], float]) -> Findings:
        doubtful = [
            layer
            for layer in found.failing
            if (layer.mode, layer.dtype) == ("free", dtype) and math.isfinite(layer.comparison.relative)
        ]
        alone = [layer for layer in found.layers if (layer.mode, layer.dtype) == ("isolated", dtype)]
        errors = {layer.path: error(layer) for layer in sorted(alone, key=error) if layer.comparison}
        floors: dict[tuple[str, str, int, int], float] = {}
        for name in dict.fromkeys(layer.input for layer in doubtful):
            self.progress(f"conditioning {name}")
            paths = {layer.path for layer in doubtful if layer.input == name}
            moved = self._condition(name, paths, errors, dtype)
            floors |= {(name, *key): floor for key, floor in moved.items()}
        layers = [
            replace(
                layer,
                comparison=rejudge(layer.comparison, floors.get((layer.input, layer.path, layer.call, layer.output))),
            )
            if layer in doubtful
            else layer
            for layer in found.layers
        ]
        return replace(found, layers=layers)

    def exact_arguments(self, name: str) -> Arguments:
        """The input called `name`, for the float64 reference."""
        return self._torch_arguments(self.inputs[name], self.exact)

    def _condition(
        self, name: str, paths: Collection[str], errors: Mapping[str, float], dtype: str
    ) -> dict[tuple[str, int, int], float]:
        """How far the reference carries these errors, by (path, call, output)."""
        return measure_conditioning(self.exact, self.exact_arguments(name), paths, errors, dtype)

    def _open(self, name: str, dtype: str, paths: Collection[str], *, isolated: bool) -> Reference:
        """The reference's pass over an input."""
        model = self.exact if dtype == "float64" else self.reference
        truth = self.exact if dtype == "float32" and self.with_truth else None
        arguments = self._torch_arguments(self.inputs[name], model)
        return Reference(model, arguments, paths, truth=truth, isolated=isolated)

    def _torch_arguments(self, arguments: Arguments, model: nn.Module) -> Arguments:
        return torch_arguments(
            arguments, model, torch.float64 if model is self.__dict__.get("exact") else torch.float32
        )

    def _pass(
        self, boundaries: Boundaries, mode: str, dtype: str, name: str, report: Reporter, search: Search | None
    ) -> None:
        isolated = mode == "isolated"
        paths = boundaries.reference_paths if search is None else self.exact_modules.keys()
        reference = self._open(name, dtype, paths, isolated=isolated)
        follower = Follower(
            self.theirs,
            boundaries,
            reference,
            isolated=isolated,
            channels_last=self._channels_last,
            coordinates={"mode": mode, "dtype": dtype, "input": name},
            on_layer=report.add,
            convention=self.convention,
            size=next((array.shape[2:] for array in self.inputs[name].tensors if array.ndim == 4), ()),
            constants=[one for one in self.inputs[name].tensors if one.size and bool((one == one.flat[0]).all())],
            search=search,
            sink=report.show if mode == "free" else None,
            on_fault=report.keep if (mode, dtype) == ("isolated", "float64") else None,
        )
        counted = boundaries.reference_exits
        try:
            follower.run(self.port, paddle_arguments(self.inputs[name], dtype))
            for kind, path, call in reference.leftover():
                if kind != "output" or path not in counted or boundaries.is_elsewhere(path, call):
                    continue
                if not _is_bypassed(path, boundaries, self.theirs, follower):
                    report.found.leftover[path, call] = f"{path} #{call}"
        finally:
            reference.close()
            report.note_held(name, boundaries, follower.calls)
        unmatched = {(boundaries.name(path), call): f"{path} #{call}" for path, call in follower.unmatched}
        report.found.unmatched |= unmatched


def _error_of_port(layer: Layer) -> float:
    return layer.comparison.relative


def _error_of_reference(layer: Layer) -> float:
    """Of a float32 pass, over the RMS."""
    said = layer.comparison
    return said.relative * (said.noise_floor or 0.0) / said.max_abs if said.max_abs else 0.0


def _to_torch(array: Array, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A floating array rounded to float32, so that it is the same in every precision."""
    if array.dtype.kind != "f":
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)
    return torch.from_numpy(array.astype(np.float32)).to(device, dtype)


def torch_arguments(arguments: Arguments, model: nn.Module, dtype: torch.dtype) -> Arguments:
    """The arguments as a torch network takes them; in `dtype` if it has no parameters that tell another."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(0, dtype=dtype))
    return arguments.map(lambda array: _to_torch(array, like.device, like.dtype))


def paddle_arguments(arguments: Arguments, dtype: str) -> Arguments:
    from models_paddle import paddle

    def convert(array: Array) -> Any:
        if array.dtype.kind != "f":
            return paddle.to_tensor(array)
        return paddle.to_tensor(array.astype(np.float32)).astype(dtype)

    return arguments.map(convert)


def _corner(array: Array) -> Array:
    return array[:1, :, :CORNER, :CORNER] if array.ndim == 4 else array


def _is_bypassed(path: str, boundaries: Boundaries, theirs: Mapping[str, ModuleInfo], follower: Follower) -> bool:
    """A pair that the port never calls, while what it does is seen around it, and which is listed as never called.

    An activation done by a function is seen at the next layer's input, a container whose layers are called one by one
    in them, and a layer with parameters that a function uses in the module around it, short of the network itself.
    """
    port_of = {path: target for target, path in boundaries.exits.items()}
    if port_of[path] in follower.calls:
        return False
    around = path
    while around := around.rpartition(".")[0]:
        if port_of.get(around) in follower.calls:
            return True
    return not theirs[port_of[path]].tensors


def _is_channels_last(layer: Any) -> bool:
    return getattr(layer, "_data_format", None) == "NHWC"
