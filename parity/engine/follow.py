"""A Paddle forward pass that follows a torch one and is compared with it, layer by layer.

Free: each layer's output is compared as it is, which shows how a difference grows.
Isolated: each layer is first given torch's input, and its caller torch's output, so that every layer,
and the code between layers, answers for itself alone. What a caller hands to a layer is compared too:
a difference there, when everything before was made equal, is the caller's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from parity.engine.stream import Event, Kind, Reference
from parity.networks.modules import ModuleInfo
from parity.verdicts.comparison import Comparison, compare, failed
from parity.verdicts.report import INPUT_SITE, Layer
from twins.tensors import flatten, paddle_to_torch, refill, torch_to_paddle

OnLayer = Callable[[Layer], None]
Sink = Callable[[Layer, Tensor, Tensor], None]


class Follower:
    """Runs `layer` on `images` against `reference`, reporting each comparison to `on_layer`.

    `pairs` maps Paddle path to torch path. After `run`, `unmatched` holds the (Paddle path, call) that torch
    has no counterpart of, and `calls` each called path with its last call's number.
    """

    def __init__(
        self,
        modules: Mapping[str, ModuleInfo],
        pairs: Mapping[str, str],
        reference: Reference,
        *,
        isolated: bool,
        channels_last: bool,
        coordinates: Mapping[str, Any],
        on_layer: OnLayer,
        sink: Sink | None = None,
    ) -> None:
        self._modules, self._pairs, self._reference = modules, pairs, reference
        self._isolated, self._channels_last = isolated, channels_last
        self._coordinates, self._on_layer, self._sink = coordinates, on_layer, sink
        self.calls: dict[str, int] = {}
        self._callers: list[tuple[str, int]] = []
        self._last: tuple[tuple[int, ...], Any, list[Comparison]] | None = None
        self.unmatched: list[tuple[str, int]] = []

    def run(self, layer: Any, images: Any) -> Any:
        """Forward pass with hooks, which are removed whatever happens."""
        from models_paddle import paddle

        handles = []
        try:
            for path in self._pairs:
                module = self._modules[path].module
                handles.append(_hook_inputs(module, self._before(path)))
                handles.append(module.register_forward_post_hook(self._after(path)))
            with paddle.no_grad():
                return layer(images)
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, path: str) -> Callable[..., Any]:
        def hook(inputs: Any) -> Any:
            call = self.calls[path] = self.calls.get(path, -1) + 1
            caller = self._callers[-1] if self._callers else ("", 0)
            self._callers.append((path, call))
            if not self._isolated:
                return None
            event = self._take("input", path, call)
            if event is None:
                return None
            actual = flatten(inputs)
            site = f"{INPUT_SITE}{self._pairs[path] or 'the network'}"
            for comparison, index, shape in self._compared(actual, event):
                if not comparison:
                    where = self._pairs.get(caller[0], caller[0])
                    self._on_layer(self._layer(where, caller[1], index, shape, comparison, site))
            return self._replaced(inputs, event)

        return hook

    def _after(self, path: str) -> Callable[..., Any]:
        def hook(layer: Any, inputs: Any, outputs: Any) -> Any:
            _, call = self._callers.pop()
            event = self._take("output", path, call)
            if event is None:
                self.unmatched.append((path, call))
                return None
            actual = flatten(outputs)
            for comparison, index, shape in self._compared(actual, event):
                layer = self._layer(self._pairs[path], call, index, shape, comparison, "output")
                if self._sink is not None and shape:
                    self._sink(layer, paddle_to_torch(actual[index]), event.tensors[index])
                self._on_layer(layer)
            return self._replaced(outputs, event) if self._isolated else None

        return hook

    def _take(self, kind: Kind, path: str, call: int) -> Event | None:
        return self._reference.take((kind, self._pairs[path], call))

    def _compared(self, actual: list[Any], event: Event) -> Iterable[tuple[Comparison, int, tuple[int, ...]]]:
        if len(actual) != len(event.tensors):
            shapes = [tuple(tensor.shape) for tensor in actual]
            reason = f"{len(actual)} tensors {shapes}, torch has {len(event.tensors)}"
            return [(failed(reason), 0, ())]
        ours = [paddle_to_torch(tensor) for tensor in actual]
        theirs = [self._laid_out(*pair) for pair in zip(event.tensors, ours, strict=True)]
        truths = [None] * len(theirs) if event.truth is None else list(map(self._laid_out, event.truth, ours))
        shapes = [tuple(tensor.shape) for tensor in theirs]
        # A container returns its last child's tensors: the same comparison again. Holding them keeps
        # their addresses from being used again; their versions count in-place changes.
        seen = _identity(actual, event)
        if self._last is None or self._last[0] != seen:
            comparisons = [compare(*triple) for triple in zip(ours, theirs, truths, strict=True)]
            self._last = seen, (actual, event), comparisons
        return list(zip(self._last[2], range(len(shapes)), shapes, strict=True))

    def _laid_out(self, expected: Tensor, actual: Tensor) -> Tensor:
        """`expected` as (N, H, W, C) where the port declares that layout and `actual` has it."""
        if self._channels_last and expected.ndim == 4 and expected.shape != actual.shape:
            transposed = expected.permute(0, 2, 3, 1)
            if transposed.shape == actual.shape:
                return transposed
        return expected

    def _replaced(self, value: Any, event: Event) -> Any:
        """`value` with torch's tensors in it, where they fit: a layer takes any size, but not any channels."""
        actual = flatten(value)
        if len(actual) != len(event.tensors):
            return None
        tensors = []
        for own, expected in zip(actual, event.tensors, strict=True):
            ours = self._laid_out(expected, paddle_to_torch(own))
            tensors.append(torch_to_paddle(ours) if list(ours.shape[:2]) == list(own.shape[:2]) else own)
        return refill(value, iter(tensors))

    def _layer(
        self, path: str, call: int, index: int, shape: tuple[int, ...], comparison: Comparison, site: str
    ) -> Layer:
        return Layer(
            path=path, call=call, output=index, site=site, shape=shape, comparison=comparison, **self._coordinates
        )


def _hook_inputs(module: Any, hook: Callable[[Any], Any]) -> Any:
    """Let `hook` see, and replace, the positional and keyword arguments, a pair, of each call of `module`."""
    try:
        return module.register_forward_pre_hook(lambda layer, args, kwargs: hook((args, kwargs)), with_kwargs=True)
    except TypeError:
        return _WrappedForward(module, hook)


class _WrappedForward:
    """The same for Paddle 2.6, which shows its hooks no keywords: the module's `forward` asks `hook` first."""

    def __init__(self, module: Any, hook: Callable[[Any], Any]) -> None:
        self._attributes = vars(module)
        self._before = {"forward": module.forward} if "forward" in self._attributes else {}
        forward = module.forward

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            replaced = hook((args, kwargs))
            args, kwargs = (args, kwargs) if replaced is None else replaced
            return forward(*args, **kwargs)

        self._attributes["forward"] = wrapped

    def remove(self) -> None:
        del self._attributes["forward"]
        self._attributes.update(self._before)


def _identity(actual: list[Any], event: Event) -> tuple[int, ...]:
    ours = [number for tensor in actual for number in (tensor.data_ptr(), tensor.inplace_version)]
    return *ours, *(number for tensor in event.tensors for number in (tensor.data_ptr(), tensor._version))
