"""Recording a network: what enters and leaves each of its modules, in float64 and float32, where its framework is.

The reference's recording is all that a port on another machine is compared with. Its float64 pass has the numbers that
a port keeps: epsilons as float32, and InPlaceABN's |weight| + epsilon rounded, as a converted BatchNorm has it.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from parity.engine.conditioning import measure_conditioning
from parity.engine.hooks import hook_inputs
from parity.engine.passes import Passes, paddle_arguments
from parity.engine.scalars import TITLES, as_decimal, as_float32, rewrite, round_epsilons
from parity.engine.stream import Reference, TorchPass
from parity.engine.surroundings import as_written, cast, evaluating, exact_in_float64, native_kernels
from parity.engine.writing import RecordingWriter
from parity.environment.describe import describe_environment
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.files import describe_weights
from parity.networks.modules import ModuleInfo, paddle_modules, torch_modules
from parity.pairing.match import scale_epsilon, takes_magnitude
from parity.pairing.tensors import address_of
from parity.verdicts.comparison import to_array
from twins.lazy import nn, torch
from twins.tensors import flatten, list_keys, paddle_to_array

Array = np.ndarray[Any, Any]
DTYPES = ("float64", "float32")
BYTES = {"reference": 8 + 4 + 8, "port": 8 + 4}
"""For each element: float64, float32, and of the reference the truth of the float32 pass, layer by layer."""
MOST_NUMBERS = 8
"""Of an attribute that is a setting of a layer."""
ROOM = 1.1
"""Of the estimated size: what must be free."""


class ReferenceRecorder(Passes):
    """Records the reference of a comparison whose port is elsewhere."""

    def __init__(
        self, module: nn.Module, inputs: Mapping[str, Arguments], progress: Callable[[str], None] = lambda phase: None
    ) -> None:
        super().__init__(
            module, None, {}, inputs, with_truth=True, prepare=_as_a_port_keeps_it, progress=progress, fail_fast=False
        )
        self.modules = torch_modules(module)

    def record(self, folder: Path, *, keep: str, name: str, weights: Path | None, say: Callable[[str], None]) -> None:
        """Write the recording; `say` is told its size before. Raises ParityInputError if there is no room."""
        with ExitStack() as stack:
            stack.enter_context(evaluating(self.reference))
            stack.enter_context(native_kernels())
            uninfluential, dead = self.find_uninfluential()
            variants = self._write_otherwise()
            size = self._estimate(keep, len(variants))
            say(describe_size(folder, size))
            with RecordingWriter.open(folder, keep=keep) as writer:
                writer.index |= {
                    "side": "reference",
                    "name": name,
                    "weights": describe_weights(self.reference, weights, name),
                    "loaded": True,
                    "environment": describe_environment(),
                    "modules": list(describe_modules(self.modules, writer)),
                    "inputs": list(describe_inputs(self.inputs, writer)),
                    "outputs": len(self._run()),
                    "uninfluential": list(uninfluential),
                    "dead": list(dead),
                    "floors": list(self._floors()),
                    "variants": {name: written for name, (_, written) in variants.items()},
                    "passes": list(self._passes({name: model for name, (model, _) in variants.items()}, writer)),
                }

    def _run(self) -> list[Any]:
        smallest = min(self.inputs.values(), key=lambda arguments: sum(array.size for array in arguments.tensors))
        with torch.no_grad():
            return flatten(self._torch_arguments(smallest, self.reference).call(self.reference))

    def _write_otherwise(self) -> dict[str, tuple[nn.Module, list[str]]]:
        """The exact reference with its scalars written otherwise, and how: a port may have either."""
        found = {}
        for name, change in (("decimal", as_decimal), ("float32", as_float32)):
            model = copy.deepcopy(self.exact)
            changed = rewrite(torch_modules(model), change)
            if changed:
                titles = [f"{TITLES.get(key, key)} {new!r} for {old!r}" for key, (old, new) in changed.items()]
                found[name] = model, titles
        return found

    def _estimate(self, keep: str, variants: int) -> int:
        """Bytes: of the weights, and of all that the modules give, each once."""
        elements = 0
        for arguments in self.inputs.values():
            own = self._torch_arguments(arguments, self.reference)
            run = TorchPass(self.reference, own, self.modules, inputs=False)
            last: tuple[int, ...] = ()
            while (event := run.next()) is not None:
                at = tuple(tensor.data_ptr() for tensor in event.tensors)
                if at != last and (keep == "tensors" or not event.key.path):  # a container gives its last layer's
                    elements += sum(tensor.numel() for tensor in event.tensors)
                last = at
        return elements * (BYTES["reference"] + 8 * variants) + _bytes_of(self.modules, self.inputs)

    def _passes(self, variants: Mapping[str, nn.Module], writer: RecordingWriter) -> Iterator[dict[str, Any]]:
        for name in self.inputs:
            for dtype in DTYPES:
                self.progress(f"recording {dtype} {name}")
                run = self._open(name, dtype, self.modules, isolated=True)
                yield {"input": name, "dtype": dtype, "variant": "", "events": list(_events(run, writer))}
            for variant, model in variants.items():
                self.progress(f"recording {variant} {name}")
                run = Reference(model, self.exact_arguments(name), self.modules, isolated=True)
                yield {"input": name, "dtype": "float64", "variant": variant, "events": list(_events(run, writer))}

    def _floors(self) -> Iterator[dict[str, Any]]:
        for name in self.inputs:
            exact = self.exact_arguments(name)
            for dtype in DTYPES:
                self.progress(f"conditioning {dtype} {name}")
                found = measure_conditioning(self.exact, exact, self.modules, {}, dtype)
                for (path, call, output), floor in found.items():
                    place = {"path": path, "call": call, "output": output}
                    yield {"input": name, "dtype": dtype, **place, "floor": floor if np.isfinite(floor) else 0.0}


def _events(run: Reference, writer: RecordingWriter) -> Iterator[dict[str, Any]]:
    """What the index says of each event of a pass, whose tensors are kept."""
    try:
        for key, event in run.remaining():
            whole = not key.path
            truth = event.truth
            yield {
                "kind": key.kind,
                "path": key.path,
                "call": key.call,
                "names": list(event.names),
                "tensors": [writer.add(to_array(tensor), whole=whole) for tensor in event.tensors],
                "truth": None if truth is None else [writer.add(to_array(one), whole=whole) for one in truth],
            }
    finally:
        run.close()


def record_port(
    layer: Any,
    inputs: Mapping[str, Arguments],
    folder: Path,
    *,
    keep: str,
    name: str,
    weights: Path | None,
    loaded: bool,
    say: Callable[[str], None],
    progress: Callable[[str], None] = lambda phase: None,
) -> None:
    """Write the recording of a port (a Paddle layer), which runs free; `say` is told its size before.

    Raises ParityInputError if there is no room.
    """
    modules = paddle_modules(layer)
    with evaluating(layer), as_written(), exact_in_float64():
        first = next(iter(inputs))
        outputs = _run_port(layer, modules, inputs[first], "float32", lambda event: None)
        elements = sum(
            _count_elements(layer, modules, arguments, whole=keep == "tensors") for arguments in inputs.values()
        )
        say(describe_size(folder, elements * BYTES["port"] + _bytes_of(modules, inputs)))
        with RecordingWriter.open(folder, keep=keep) as writer:
            passes = []
            for one, arguments in inputs.items():
                for dtype in DTYPES:
                    progress(f"recording {dtype} {one}")
                    events: list[dict[str, Any]] = []
                    _run_port(layer, modules, arguments, dtype, lambda event: events.append(_keep(event, writer)))  # noqa: B023
                    passes.append({"input": one, "dtype": dtype, "variant": "", "events": events})
            writer.index |= {
                "side": "port",
                "name": name,
                "weights": describe_weights(layer, weights, name),
                "loaded": loaded,
                "environment": describe_environment(),
                "modules": list(describe_modules(modules, writer)),
                "inputs": list(describe_inputs(inputs, writer)),
                "outputs": outputs,
                "uninfluential": [],
                "dead": [],
                "floors": [],
                "variants": {},
                "passes": passes,
            }


def _run_port(
    layer: Any,
    modules: Mapping[str, ModuleInfo],
    arguments: Arguments,
    dtype: str,
    show: Callable[[dict[str, Any]], None],
) -> int:
    """One free pass; `show` is given each event, its tensors Paddle's. Returns the number of outputs."""
    from models_paddle import paddle

    calls: dict[str, int] = {}

    def before(path: str) -> Callable[[Any], Any]:
        def hook(value: Any) -> None:
            calls[path] = calls.get(path, -1) + 1
            show({"kind": "input", "path": path, "call": calls[path], "value": value})

        return hook

    def after(path: str) -> Callable[..., Any]:
        def hook(one: Any, inputs: Any, value: Any) -> None:
            show({"kind": "output", "path": path, "call": calls[path], "value": value})

        return hook

    handles = []
    with cast(None, layer, dtype), paddle.no_grad():
        try:
            for path, info in modules.items():
                handles.append(hook_inputs(info.module, before(path)))
                handles.append(info.module.register_forward_post_hook(after(path)))
            return len(flatten(paddle_arguments(arguments, dtype).call(layer)))
        finally:
            for handle in handles:
                handle.remove()


def _keep(event: dict[str, Any], writer: RecordingWriter) -> dict[str, Any]:
    value = event["value"]
    arrays = [paddle_to_array(tensor) for tensor in flatten(value)]
    return {
        "kind": event["kind"],
        "path": event["path"],
        "call": event["call"],
        "names": list_keys(value),
        "tensors": [writer.add(array, whole=not event["path"]) for array in arrays],
        "truth": None,
    }


def _count_elements(layer: Any, modules: Mapping[str, ModuleInfo], arguments: Arguments, *, whole: bool) -> int:
    found: list[int] = []

    def count(event: dict[str, Any]) -> None:
        path = event["path"]
        if event["kind"] == "output" and ((whole and modules[path].is_leaf) or not path):
            found.extend(tensor.size for tensor in flatten(event["value"]))

    _run_port(layer, modules, arguments, "float32", count)
    return sum(found)


def describe_size(folder: Path, size: int) -> str:
    """What is about to be written. Raises ParityInputError if there is no room for it."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if size * ROOM > free:
        raise ParityInputError(
            f"{folder}: the recording needs about {_megabytes(size)}, and {_megabytes(free)} are free; "
            "use --keep digests or a smaller --input-size"
        )
    return f"{folder}: about {_megabytes(size)} are written"


def describe_modules(modules: Mapping[str, ModuleInfo], writer: RecordingWriter) -> Iterator[dict[str, Any]]:
    """What the index says of each module; its tensors are kept whole."""
    memories: dict[int, int] = {}
    for path, info in modules.items():
        kind = type(info.module)
        yield {
            "path": path,
            "kind": info.kind,
            "class": kind.__name__,
            "package": kind.__module__.partition(".")[0],
            "attributes": dict(_plain_attributes(info.module)),
            "magnitude": _scales_by_magnitude(info),
            "tensors": {
                name: {
                    "entry": writer.add(array),
                    "parameter": name in info.parameters,
                    "memory": memories.setdefault(address_of(modules, (path, name)), len(memories)),
                }
                for name, array in info.tensors.items()
            },
        }


def describe_inputs(inputs: Mapping[str, Arguments], writer: RecordingWriter) -> Iterator[dict[str, Any]]:
    """What the networks were called with; floating values as float32, in which they are the same in both precisions."""
    for name, arguments in inputs.items():
        rounded = arguments.map(lambda array: array.astype(np.float32) if array.dtype.kind == "f" else array)
        yield {
            "name": name,
            "args": [writer.add(array) for array in rounded.args],
            "kwargs": {key: writer.add(array) for key, array in rounded.kwargs.items()},
        }


def _plain_attributes(module: Any) -> Iterator[tuple[str, Any]]:
    """Numbers, texts and short sequences of numbers: what settings of layers are."""
    for name, value in vars(module).items():
        listed = list(value) if isinstance(value, tuple | list) else [value]
        plain = all(isinstance(one, bool | int | float | str) and one not in (np.inf, -np.inf) for one in listed)
        is_setting = name.isidentifier() and name.isascii() and not name.startswith("__") and name != "training"
        if is_setting and plain and len(listed) <= MOST_NUMBERS and not any(one != one for one in listed):
            yield name, list(value) if isinstance(value, tuple | list) else value


def _scales_by_magnitude(info: ModuleInfo) -> bool:
    return info.kind == "norm" and "weight" in info.tensors and takes_magnitude(info, "weight")


def _as_a_port_keeps_it(exact: nn.Module) -> None:
    """Epsilons as float32, and |weight| + epsilon rounded to float32 as a converter folds it."""
    modules = torch_modules(exact)
    for info in modules.values():
        if _scales_by_magnitude(info):
            weight, epsilon = info.module.weight, scale_epsilon(info)
            with torch.no_grad():
                folded = (weight.abs() + epsilon).float().double() - epsilon
                weight.copy_(torch.where(weight < 0, -folded, folded))
    round_epsilons(modules)


def _bytes_of(modules: Mapping[str, ModuleInfo], inputs: Mapping[str, Arguments]) -> int:
    weights = sum(array.nbytes for info in modules.values() for array in info.tensors.values())
    return weights + sum(4 * array.size for arguments in inputs.values() for array in arguments.tensors)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"
