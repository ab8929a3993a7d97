"""Numbers that are one in float32 and two in float64: a reference keeps 0.01 as a C float, and a port writes 0.01.

InPlaceABN keeps its slope and its epsilon so, and so does Paddle every BatchNorm's epsilon. A float64 comparison sees
the difference, which no network in float32 has: a port may have either. Where a layer differs by as little as that, the
reference's own layer is run again, on the same input, with its scalars as the other would keep them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from itertools import product
from typing import Any

import numpy as np

from parity.networks.modules import ModuleInfo
from parity.verdicts.comparison import Comparison, compare
from twins.lazy import Tensor, functional, nn, torch
from twins.tensors import TORCH, Exchange, flatten

TITLES = {"negative_slope": "slope", "eps": "epsilon"}
"""Attribute of a torch module -> its name for people, where that is another."""
SILENT = {"momentum", "p"}
"""Attributes that nothing uses in eval mode."""
GREATEST = 1e-5
"""Of the RMS, in float64: what a rounded scalar makes of one layer stays below."""
PADDLES_SIXTH = float(np.float32(0.1666667))
RESIZES = {"linear": "NCW", "bilinear": "NCHW", "bicubic": "NCHW", "trilinear": "NCDHW"}
"""Modes that round positions -> Paddle's name of the layout."""
PIXEL = "interpolate one pixel"
"""A resize that a port may do by repeating: exactly."""
MOST_SCALARS = 3
"""Of one layer that are tried together."""


def round_epsilons(modules: Mapping[str, ModuleInfo]) -> None:
    """Keep the epsilon of the reference's BatchNorms as Paddle's kernel does, as a float32."""
    for info in modules.values():
        epsilon = getattr(info.module, "eps", None)
        if info.kind == "norm" and "running_var" in info.tensors and isinstance(epsilon, float):
            info.module.eps = as_float32(epsilon)


def apply_scalars(modules: Mapping[str, ModuleInfo], scalars: Mapping[tuple[str, str], float]) -> None:
    """Set what a comparison found to stand for another number of the same float32."""
    for (path, name), value in scalars.items():
        setattr(modules[path].module, name, value)


@dataclass
class Constants:
    """What Paddle's own functions have in float32 where torch's are exact, by name of torch's function.

    Its Hardsigmoid has 0.1666667 for a sixth, its SELU float32 constants, its linear and cubic resizes float32
    positions; Paddle 2 keeps a LeakyReLU's slope as a float32. `used` are torch's functions that were called; those
    that `paddles` names do as Paddle's do: the slope from the beginning, where Paddle does so.
    """

    used: set[str] = field(default_factory=set)
    paddles: set[str] = field(default_factory=set)

    @property
    def exact(self) -> set[str]:
        """The functions that do as torch's own."""
        return PADDLES_OWN.keys() - self.paddles

    @contextmanager
    def of_paddle(self, names: Iterable[str]) -> Iterator[None]:
        """Within, these functions do as Paddle's."""
        before, self.paddles = self.paddles, self.paddles | set(names)
        try:
            yield
        finally:
            self.paddles = before

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, torch's functions ask here."""
        self.paddles |= usual()
        slopes = ("leaky_relu", "leaky_relu_") if rounds_slopes() else ()
        own = {name: getattr(functional, name) for name in ("hardsigmoid", "interpolate", "selu", *slopes)}
        for name, function in own.items():
            setattr(functional, name, self._asking(name, function))
        try:
            yield
        finally:
            for name, function in own.items():
                setattr(functional, name, function)

    def _asking(self, called: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        overwrites = {"inplace": True} if called.endswith("_") else {}

        @wraps(function)
        def asking(*args: Any, **kwargs: Any) -> Tensor:
            name = called.rstrip("_")
            if torch.overrides.has_torch_function(
                args[:1]
            ):  # those who watch see one function, whoever's constants it has
                return torch.overrides.handle_torch_function(asking, args[:1], *args, **kwargs)
            if name == "interpolate" and args and math.prod(args[0].shape[2:]) == 1:
                name = PIXEL
            self.used.add(name)
            found = PADDLES_OWN[name](*args, **kwargs, **overwrites) if name in self.paddles else None
            return function(*args, **kwargs) if found is None else found

        return asking


def _paddles_hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    made = (input * PADDLES_SIXTH + 0.5).clamp(0, 1)
    return input.copy_(made) if inplace else made


def _paddles_leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    made = torch.where(input > 0, input, input * as_float32(negative_slope))
    return input.copy_(made) if inplace else made


def _paddles_interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *_: Any,
    **__: Any,
) -> Tensor | None:
    """The linear and cubic resizes; None for what rounds no positions."""
    if mode not in RESIZES:
        return None
    sides = input.shape[2:]
    sizes = [size] * len(sides) if isinstance(size, int) else size
    if sizes is None:
        factors = scale_factor if isinstance(scale_factor, list | tuple) else [scale_factor] * len(sides)
        sizes = [int(side * factor) for side, factor in zip(sides, factors, strict=True)]
    return resize_by_paddle(input, [int(side) for side in sizes], corners=bool(align_corners), mode=mode)


def _paddles_selu(input: Tensor, inplace: bool = False) -> Tensor:
    from models_paddle import paddle

    made = TORCH.read(paddle.nn.functional.selu(TORCH.write(input))).to(input.device)
    return input.copy_(made) if inplace else made


def resize_by_paddle(
    images: Any, size: list[int], *, corners: bool, exchange: Exchange = TORCH, mode: str = "bilinear"
) -> Any:
    """(N, C, H, W) -> (N, C, *size), at Paddle's positions: 1e-6 from the exact ones."""
    from models_paddle import paddle

    with paddle.no_grad():
        resized = paddle.nn.functional.interpolate(
            exchange.write(images), size=size, mode=mode, align_corners=corners, data_format=RESIZES[mode]
        )
    made = exchange.read(resized)
    return made.to(images.device) if exchange is TORCH else made


PADDLES_OWN: dict[str, Callable[..., Tensor | None]] = {
    "hardsigmoid": _paddles_hardsigmoid,
    "interpolate": _paddles_interpolate,
    PIXEL: _paddles_interpolate,
    "leaky_relu": _paddles_leaky_relu,
    "selu": _paddles_selu,
}
PADDLES_NOTES = {
    "hardsigmoid": "Hardsigmoid's slope 0.1666667, Paddle's own, for a sixth",
    "interpolate": "resizing at Paddle's own positions, which are float32",
    PIXEL: "resizing of one pixel with Paddle's own weights, which are float32",
    "selu": "SELU's constants in float32, Paddle's own",
    "leaky_relu": "LeakyReLU's slope in float64, not the float32 that this Paddle's own keeps",
}


@dataclass
class Scalars:
    """The scalars of `modules`, a copy's of the reference, that stand for another number of the same float32.

    `kept` says which: (path, attribute) -> number; `notes` the same for people.
    """

    modules: Mapping[str, ModuleInfo]
    constants: Constants = field(default_factory=Constants)
    kept: dict[tuple[str, str], float] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    _inputs: dict[str, list[Tensor]] = field(default_factory=dict)

    def explain(self, path: str, inputs: list[Tensor], actual: Tensor, comparison: Comparison) -> Comparison | None:
        """The comparison with what the module at `path` makes of `inputs` with other scalars, if one passes.

        They are kept. None if the difference is too large for that, or no choice makes it go.
        """
        info = self.modules[path]
        if not info.is_leaf or not hasattr(info.module, "forward"):  # as of a recording
            return None
        if not (_functions_of(info.module) or any(True for _ in _scalars_of(info.module))):
            return None
        self._inputs = {path: [tensor.clone() for tensor in inputs]}
        return self.explain_again(path, actual, comparison)

    def explain_again(self, path: str, actual: Tensor, comparison: Comparison) -> Comparison | None:
        """The same with the inputs that the module was last asked about with."""
        if path not in self._inputs or not comparison.relative <= GREATEST:
            return None
        return self._try(path, self._inputs[path], actual)

    def _try(self, path: str, inputs: Sequence[Tensor], actual: Tensor) -> Comparison | None:
        module = self.modules[path].module
        own = dict(list(_scalars_of(module))[:MOST_SCALARS])
        for name in _functions_of(module) & self.changeable:
            self.change(name)
            again = compare(actual, module.forward(inputs[0]))
            if again:
                return again
            self.change(name)
        for choice in list(product(*(_others(value) for value in own.values())))[1:]:
            changed = dict(zip(own, choice, strict=True))
            _set(module, changed)
            try:
                with torch.no_grad():  # without its hooks, in which the pass stands
                    outputs = flatten(module.forward(*(tensor.clone() for tensor in inputs)))
                found = compare(actual, outputs[0]) if len(outputs) == 1 else None
            except (TypeError, RuntimeError):  # called otherwise than with tensors in order
                found = None
            if found:
                for name, value in changed.items():
                    if value != own[name]:
                        self._keep_everywhere(path, name, own[name], value)
                return found
            _set(module, own)
        return None

    @property
    def changeable(self) -> set[str]:
        """The functions that do as they did at the beginning."""
        return {name for name in PADDLES_OWN if (name in self.constants.paddles) == (name in usual())}

    def change(self, name: str) -> None:
        """Let a function of torch's do as Paddle's does, or as torch's own again."""
        self.constants.paddles ^= {name}
        if name in self.changeable:
            self.notes.pop(PADDLES_NOTES[name], None)
        else:
            self.notes[PADDLES_NOTES[name]] = None

    def _keep_everywhere(self, path: str, name: str, own: float, value: float) -> None:
        """In all modules that have the same number: who writes it out once does so elsewhere, too."""
        for other, info in self.modules.items():
            if other == path or (vars(info.module).get(name) == own and (other, name) not in self.kept):
                setattr(info.module, name, value)
                self.keep(other, name, own, value)

    def keep(self, path: str, name: str, own: float, value: float) -> None:
        """Note that a scalar stands for another, which it is set to."""
        self.kept[path, name] = value
        self.notes[f"{TITLES.get(name, name)} {value!r} for {own!r}, which is the same in float32"] = None


def write_out(scalars: Scalars, count: Callable[[], int], failures: int) -> bool:
    """Write scalars of all modules at once otherwise, where the code between layers is off by so little.

    `count` compares and counts what fails; `failures` is that number before. Returns whether anything was kept.
    """
    modules = {path: info.module for path, info in scalars.modules.items() if hasattr(info.module, "forward")}
    kept = False
    for name in sorted(scalars.constants.used & scalars.changeable):
        scalars.change(name)
        left = count()
        if left < failures:
            failures, kept = left, True
        else:
            scalars.change(name)
    names = {name for module in modules.values() for name, _ in _scalars_of(module)} - SILENT
    for name, change in product(sorted(names, key=_likelihood), (as_decimal, as_float32)):
        own = {p: v for p, m in modules.items() if isinstance(v := vars(m).get(name), float) and change(v) != v}
        if not own or not failures:
            continue
        for path, value in own.items():
            setattr(modules[path], name, change(value))
        left = count()
        if left >= failures:
            for path, value in own.items():
                setattr(modules[path], name, value)
            continue
        failures, kept = left, True
        for path, value in own.items():
            scalars.keep(path, name, value, change(value))
    return kept


def rewrite(modules: Mapping[str, ModuleInfo], change: Callable[[float], float]) -> dict[str, tuple[float, float]]:
    """Write the scalars of all modules otherwise, but for what `round_epsilons` has made alike.

    Returns name -> a number of that name before and after, of those that are others then.
    """
    changed: dict[str, tuple[float, float]] = {}
    for info in modules.values():
        for name, value in list(_scalars_of(info.module)):
            if name not in (*SILENT, "eps") and change(value) != value:
                changed[name] = value, change(value)
                setattr(info.module, name, change(value))
    return changed


def _likelihood(name: str) -> tuple[bool, str]:
    """Sorts first what `round_epsilons` has not made alike."""
    return name == "eps", name


def _functions_of(module: nn.Module) -> set[str]:
    """The functions of PADDLES_OWN that a layer without layers inside is."""
    kinds = {"hardsigmoid": nn.Hardsigmoid, "interpolate": nn.Upsample, "selu": nn.SELU}
    if rounds_slopes():
        kinds["leaky_relu"] = nn.LeakyReLU
    return {name for name, kind in kinds.items() if isinstance(module, kind)}


def usual() -> set[str]:
    """The functions that do as Paddle's from the beginning."""
    return {"leaky_relu"} if rounds_slopes() else set()


@cache
def rounds_slopes() -> bool:
    """Whether this Paddle multiplies float64 features by a float32 of the slope, as Paddle 2 does."""
    from models_paddle import paddle

    made = paddle.nn.functional.leaky_relu(paddle.to_tensor([-1.0], dtype="float64"), 0.1)
    return bool(made.item() != -0.1)


def as_decimal(value: float) -> float:
    """The shortest decimal that `value` is in float32; `value` itself if it is no float32."""
    return float(str(np.float32(value))) if float(np.float32(value)) == value else value


def as_float32(value: float) -> float:
    """As a C float keeps it."""
    return float(np.float32(value))


def _scalars_of(module: nn.Module) -> Iterator[tuple[str, float]]:
    """Attributes that are numbers which float32 and float64 keep differently, or that are a float32."""
    for name, value in vars(module).items():
        if isinstance(value, float) and np.isfinite(value) and len(set(_others(value))) > 1:
            yield name, value


def _others(value: float) -> list[float]:
    return list(dict.fromkeys((value, as_decimal(value), as_float32(value))))


def _set(module: Any, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        setattr(module, name, value)
