"""The result of a comparison of two networks, and its JSON."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from parity.comparison import Comparison


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One probe: output number `output` of call number `call` of the module at `path`, on one input."""

    path: str
    call: int
    output: int
    input: str
    shape: tuple[int, ...]
    mode: str
    dtype: str
    comparison: Comparison

    def to_json(self) -> dict[str, Any]:
        """The probe's coordinates and its comparison's figures, flat; an infinite figure is null."""
        entry = {**asdict(self), **asdict(self.comparison)}
        del entry["comparison"]
        return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in entry.items()}


@dataclass(frozen=True, kw_only=True)
class Report:
    """True if everything that was compared agreed and nothing stayed uncompared."""

    layers: tuple[Layer, ...]
    weights: dict[str, Any]
    recurrence: int
    environment: dict[str, Any] = field(default_factory=lambda: describe_environment())

    def __bool__(self) -> bool:
        return bool(self.layers) and not self.failures and not self.weights["different"]

    @property
    def failures(self) -> list[Layer]:
        """The probes that did not agree, in the order of execution."""
        return [layer for layer in self.layers if not layer.comparison]

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        if self.weights["different"]:
            different = self.weights["different"]
            return f"{len(different)} weights differ from the source's, first {different[0]}"
        if self.failures:
            first = self.failures[0]
            return f"{first.path} ({first.dtype}, {first.input}): {first.comparison.reason}"
        if not self.layers:
            return "nothing was compared"
        return f"both frameworks agree in all {len(self.layers)} comparisons"

    def to_json(self) -> dict[str, Any]:
        """The contract of `ccnet-parity --json`."""
        first = self.failures[0] if self.failures else None
        paths = dict.fromkeys(layer.path for layer in self.layers)
        return {
            "passed": bool(self),
            "summary": self.summary,
            "first_divergence": first
            and {"path": first.path, "call": first.call, "mode": first.mode, "dtype": first.dtype},
            "guilty": [],
            "coverage": {"paired": list(paths), "unpaired_torch": [], "unpaired_paddle": [], "uninfluential": []},
            "layers": [layer.to_json() for layer in self.layers],
            "weights": self.weights,
            "recurrence": self.recurrence,
            "environment": self.environment,
        }


def describe_environment() -> dict[str, Any]:
    """Versions, threads and machine type of this process."""
    versions = {}
    for package in ("torch", "paddlepaddle", "paddlepaddle-gpu", "numpy", "ccnet-parity"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
