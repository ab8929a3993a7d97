"""Parts that a user names: `MODULE:FUNCTION` or `FILE.py:FUNCTION`, in the terms of his framework.

| part | signature |
| --- | --- |
| preprocessing | `(pixels)`: RGB (H, W, 3) uint8 -> (3, H, W), an array or a tensor |
| loss | `(outputs, labels)`: as the network gives them while training, (N, H, W) int64 -> a scalar tensor |
| optimiser | `(parameters)` or `(parameters, schedule)` -> the framework's optimiser |
| schedule | Paddle: `()` -> an `LRScheduler`; torch: `(optimiser)` -> its scheduler; either: `(step)` -> rate |
| loader | `(root)`: a folder in Cityscapes' layout -> batches (images (N, 3, H, W), labels (N, H, W)) for training |
| metric | `(predictions, labels)`: class numbers (N, H, W) int64, 255 not counted -> the mIoU, or a confusion matrix |

A loss may be a layer, its class, or a function without arguments that returns one. An optimiser's function whose
first parameter is called `model` is given the network; a metric's third one is the number of classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from parity.certify.parts.kit import OPTIONS, Kit, Part, code_of
from parity.certify.parts.loaders import FunctionSource
from parity.errors import ParityInputError
from parity.networks.user import find_function
from twins.tensors import flatten

Function = Callable[..., Any]
Array = np.ndarray[Any, Any]
GIVEN = ("preprocessing", "loss", "optimiser", "schedule", "loader", "metric")
"""Parts that have an option of their own."""


def read_parts(specs: Mapping[str, str | None], side: str) -> Kit:
    """The parts that `specs` (part -> `MODULE:FUNCTION`) name, of `side`, "port" or "reference".

    Raises ParityInputError for what cannot be imported or called.
    """
    kit: dict[str, Part] = {}
    for name, spec in specs.items():
        if spec is not None:
            option = OPTIONS[name] if side == "port" else OPTIONS[name].replace("--", "--reference-")
            function = find_function(spec, option)
            if not callable(function):
                raise ParityInputError(f"{option} {spec}: is a {type(function).__name__}, no function")
            kit[name] = Part(code_of(function), ADAPTERS[name](function))
    if "optimiser" in kit:
        kit["regularisation"] = kit["optimiser"]
    return kit


def _adapt_loss(function: Function) -> Function:
    made: list[Function] = []

    def loss(outputs: Any, labels: Any) -> Any:
        if not made:
            is_maker = isinstance(function, type) or (inspect.isroutine(function) and takes(function) == 0)
            made.append(function() if is_maker else function)
        values = flatten(made[0](outputs, labels))
        if not values:
            raise TypeError("the loss returns no tensor")
        return sum(values[1:], start=values[0])

    return loss


def _adapt_optimiser(function: Function) -> Function:
    def make(model: Any, parameters: list[Any], schedule: Any) -> Any:
        names = list(inspect.signature(function).parameters)
        first = model if names and names[0] in MODELS else parameters
        return function(first, schedule) if takes(function) > 1 else function(first)

    return make


MODELS = ("model", "network", "net", "layer")
"""What an optimiser's function may call the network that it wants in place of its parameters."""


def _adapt_metric(function: Function) -> Function:
    def measure(predictions: Any, labels: Any, num_classes: int) -> Array:
        known = inspect.signature(function).parameters
        more = (num_classes,) if len(known) > 2 else ()
        found = function(predictions, labels, *more)
        return np.asarray(found.numpy() if hasattr(found, "numpy") else found, np.float64)

    return measure


def _adapt_preprocessing(function: Function) -> Function:
    def prepare(pixels: Array) -> Array:
        found = function(pixels)
        array = np.asarray(found.numpy() if hasattr(found, "numpy") else found)
        return array[0] if array.ndim == 4 and len(array) == 1 else array

    return prepare


def takes(function: Function) -> int:
    """How many arguments a function must be given."""
    own = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in own)


ADAPTERS: dict[str, Callable[[Function], Any]] = {
    "preprocessing": _adapt_preprocessing,
    "loss": _adapt_loss,
    "optimiser": _adapt_optimiser,
    "schedule": lambda function: function,
    "loader": FunctionSource,
    "metric": _adapt_metric,
}
