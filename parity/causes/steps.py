"""What a unit of the reference does, function by function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from torch import Tensor

from twins.tensors import flatten

CALL = "call"
"""Name of a step that is a call of a layer."""
POSITIONAL: dict[str, tuple[str, ...]] = {
    **{f"conv{n}d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups") for n in (1, 2, 3)},
    **{
        f"avg_pool{n}d": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        for n in (1, 2, 3)
    },
    **{
        f"max_pool{n}d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        for n in (1, 2, 3)
    },
    "linear": ("input", "weight", "bias"),
    "gelu": ("input", "approximate"),
    "clamp": ("input", "min", "max"),
    "softmax": ("input", "dim"),
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale"),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "argmax", "argmin", "logsumexp"), ("input", "dim", "keepdim")),
    **dict.fromkeys(("cumsum", "cumprod", "log_softmax"), ("input", "dim")),
}
"""Arguments of the functions that Python cannot be asked for, as far as anything here changes them."""
OPERATORS = {
    **dict.fromkeys(("__add__", "__iadd__", "__radd__"), "add"),
    **dict.fromkeys(("__mul__", "__imul__", "__rmul__", "multiply"), "mul"),
    **dict.fromkeys(("__sub__", "__isub__", "subtract"), "sub"),
    **dict.fromkeys(("__truediv__", "__itruediv__", "true_divide", "divide"), "div"),
    **dict.fromkeys(("__matmul__", "__rmatmul__"), "matmul"),
    "concat": "cat",
    "concatenate": "cat",
}
"""Names of functions that are others' too."""
IN_PLACE = frozenset(["__iadd__", "__imul__", "__isub__", "__itruediv__", "__setitem__"])
PROPERTIES = ("T", "mT", "H", "mH")
LOOKS = frozenset(
    [
        "__get__",
        "__set__",
        "size",
        "dim",
        "ndimension",
        "numel",
        "stride",
        "item",
        "tolist",
        "__bool__",
        "__len__",
        "__int__",
        "__float__",
        "__index__",
        "__format__",
        "__repr__",
        "is_floating_point",
        "is_contiguous",
        "data_ptr",
        "get_device",
        "requires_grad_",
        "element_size",
        "is_complex",
        "storage_offset",
        "nelement",
        "__hash__",
        "has_names",
    ]
)
"""Functions that make no tensor of another."""
VIEWS = frozenset(
    [
        "view",
        "reshape",
        "permute",
        "transpose",
        "contiguous",
        "flatten",
        "unsqueeze",
        "squeeze",
        "__getitem__",
        "split",
        "chunk",
        "expand",
        "T",
        "mT",
        "clone",
        "unflatten",
        "swapaxes",
        "movedim",
        "detach",
        "to",
        "double",
        "float",
    ]
)
"""Functions whose results are still what they were made of, for people."""
Edit = Callable[["Step", tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True)
class Step:
    """One function that the unit's code calls, or one call of a layer, whose `path` is then the layer's.

    `path` is else that of the innermost module whose code calls it. `end` is the number of the first step after it and
    those within it. `sources` are the numbers of the steps that made
    its tensors, None for those that the unit was given or owns.
    """

    number: int
    name: str
    path: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    sources: tuple[int | None, ...] = ()
    end: int = 0
    labels: tuple[str, ...] = ()
    """What its tensors are, for people."""

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that it is called with."""
        return tensors_of([self.args, self.kwargs])

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors that it gives."""
        return tensors_of(self.output)

    def label(self, number: int) -> str:
        """What its tensor of that number is, for people."""
        return self.labels[number] if number < len(self.labels) else "it"

    def bind(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Its arguments by name, defaults included where Python can be asked for them."""
        args, kwargs = (self.args, self.kwargs) if args is None else (args, kwargs or {})
        names = POSITIONAL.get(self.name, ())
        if names:
            return {**dict(zip(names, args, strict=False)), **(kwargs or {})}
        try:
            bound = inspect.signature(self.function).bind(*args, **(kwargs or {}))
        except (TypeError, ValueError):
            return dict(kwargs or {})
        bound.apply_defaults()
        return dict(bound.arguments)

    def altered(self, **changes: Any) -> Edit:
        """An edit: the same function with some arguments changed."""

        def edit(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            bound = {**step.bind(args, kwargs), **changes}
            bound.pop("_stacklevel", None)
            names = takewhile(lambda name: name in bound, POSITIONAL.get(step.name, ()))
            leading = [bound.pop(name) for name in list(names)]
            return step.function(*leading, **bound)

        return edit


def tensors_of(value: Any) -> list[Tensor]:
    """Torch's tensors in nested tuples, lists and dictionaries, in order: constants may be arrays of NumPy."""
    return [tensor for tensor in flatten(value) if isinstance(tensor, Tensor)]


def count_work(weight: Any, made: list[Tensor]) -> int:
    """How much work it is to make some tensors, in elements that are made: with a weight, many are summed for each."""
    summed = weight[0].numel() if isinstance(weight, Tensor) and weight.ndim > 1 else 1
    return OVERHEAD + sum(tensor.numel() for tensor in made) * max(1, summed // SUMMED)


OVERHEAD = 1 << 12
"""Elements that as much work goes into as into the call of any function."""
SUMMED = 16
"""Products that are summed in the time in which one element is made."""


def name_of_function(function: Any) -> str:
    """As steps are called: a property of a tensor by its own name, what is done in place as any other."""
    name = str(getattr(function, "__name__", ""))
    if name == "__get__":
        own = str(getattr(getattr(function, "__self__", None), "__name__", ""))
        return own if own in PROPERTIES else name
    return OPERATORS.get(name, name.removesuffix("_") if is_in_place(function) else name)


def is_in_place(function: Any) -> bool:
    """Whether a function overwrites its first tensor, by its name."""
    name = str(getattr(function, "__name__", ""))
    return name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
