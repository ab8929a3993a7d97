"""The frameworks' switches that change numbers: TF32, determinism, oneDNN.

Each is read only from a framework that is imported already, so that reading imports none.

TF32 keeps 10 of float32's 23 bits in products on a GPU. torch's convolutions use it by default, Paddle's matrix
products did until autumn 2025: two networks that are the same then differ by 1e-3.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
"""Read by cuBLAS and cuDNN when they start; 0 forbids TF32 whatever a framework asks for."""


@dataclass(frozen=True)
class Switch:
    """One setting of a framework: `read(framework)` gives its value, `write(framework, value)` sets it, if that may be.

    `read` raises where this build has no such switch.
    """

    framework: str
    name: str
    read: Callable[[Any], bool]
    write: Callable[[Any, bool], None] | None = None

    @property
    def value(self) -> bool | None:
        """None where the framework is not imported, or has no such switch."""
        framework = sys.modules.get(self.framework)
        if framework is None:
            return None
        try:
            with warnings.catch_warnings():  # of names that newer versions give them
                warnings.simplefilter("ignore")
                return bool(self.read(framework))
        except (AttributeError, KeyError, RuntimeError, ValueError):
            return None


def _uses_tf32(part: Any) -> bool:
    """By the names of torch 2.9, where one may inherit what another says; by the older ones before."""
    return part.fp32_precision == "tf32" if hasattr(part, "fp32_precision") else part.allow_tf32


def _allow_tf32(whole: Any, parts: Sequence[Any], value: bool) -> None:
    """By the older name, which a user's code may read, and by the newer where a part still inherits otherwise."""
    whole.allow_tf32 = value
    for part in parts:
        if not value and _uses_tf32(part):
            part.fp32_precision = "ieee"


def _convolutions(torch: Any) -> list[Any]:
    cudnn = torch.backends.cudnn
    return [cudnn.conv, cudnn.rnn] if hasattr(cudnn, "conv") else [cudnn]


def _flag(paddle: Any, *names: str) -> bool:
    """The first of a flag's names that this version knows. Raises KeyError if it knows none."""
    for name in names:
        with suppress(ValueError):
            return bool(paddle.get_flags(name)[name])
    raise KeyError(names)


TF32 = (
    Switch(
        "torch",
        "tf32_matmul",
        lambda torch: _uses_tf32(torch.backends.cuda.matmul),
        lambda torch, value: _allow_tf32(torch.backends.cuda.matmul, [torch.backends.cuda.matmul], value),
    ),
    Switch(
        "torch",
        "tf32_convolutions",
        lambda torch: any(map(_uses_tf32, _convolutions(torch))),
        lambda torch, value: _allow_tf32(torch.backends.cudnn, _convolutions(torch), value),
    ),
    Switch(
        "paddle",
        "tf32_matmul",
        lambda paddle: paddle.base.core.get_cublas_switch(),
        lambda paddle, value: paddle.base.core.set_cublas_switch(value),
    ),
    Switch(
        "paddle",
        "tf32_convolutions",
        lambda paddle: paddle.base.core.get_cudnn_switch(),
        lambda paddle, value: paddle.base.core.set_cudnn_switch(value),
    ),
)
SWITCHES = (
    *TF32,
    Switch("torch", "deterministic_algorithms", lambda torch: torch.are_deterministic_algorithms_enabled()),
    Switch("torch", "cudnn_deterministic", lambda torch: torch.backends.cudnn.deterministic),
    Switch("torch", "cudnn_benchmark", lambda torch: torch.backends.cudnn.benchmark),
    Switch("torch", "onednn", lambda torch: torch.backends.mkldnn.enabled),
    Switch("paddle", "cudnn_deterministic", lambda paddle: _flag(paddle, "FLAGS_cudnn_deterministic")),
    Switch("paddle", "onednn", lambda paddle: _flag(paddle, "FLAGS_use_onednn", "FLAGS_use_mkldnn")),
)


def read_switches() -> dict[str, dict[str, bool]]:
    """Framework -> switch -> whether it is on, of the frameworks that are imported."""
    found: dict[str, dict[str, bool]] = {}
    for switch in SWITCHES:
        value = switch.value
        if value is not None:
            found.setdefault(switch.framework, {})[switch.name] = value
    return found


@contextmanager
def without_tf32(forbidden: bool = True) -> Iterator[None]:
    """Within, products in float32 are float32's in both frameworks; afterwards all is as before.

        with without_tf32(device == "gpu" and not keep_tf32):
            report = compare_models(...)

    If not `forbidden`, nothing is touched. Import both frameworks first: a switch of one that is not imported is left.
    """
    if not forbidden:
        yield
        return
    before = [(switch, switch.value) for switch in TF32]
    variable = os.environ.get(TF32_VARIABLE)
    os.environ[TF32_VARIABLE] = "0"
    try:
        for switch, value in before:
            _set(switch, False if value is not None else None)
        yield
    finally:
        for switch, value in before:
            _set(switch, value)
        if variable is None:
            del os.environ[TF32_VARIABLE]
        else:
            os.environ[TF32_VARIABLE] = variable


def _set(switch: Switch, value: bool | None) -> None:
    if switch.write is not None and value is not None:
        switch.write(sys.modules[switch.framework], value)
