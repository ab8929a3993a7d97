"""The environment of a report, a certificate and a recording, as JSON."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from parity.environment.switches import TF32_VARIABLE, read_switches

PACKAGES = ("torch", "paddlepaddle", "paddlepaddle-gpu", "numpy", "ccnet-parity")
PREFIXES = ("FLAGS_", "OMP_", "MKL_", "ONEDNN_", "ATEN_")
"""Of environment variables by which the frameworks and their libraries choose kernels."""
VARIABLES = (TF32_VARIABLE, "CUBLAS_WORKSPACE_CONFIG")


def describe_environment() -> dict[str, Any]:
    """Versions, machine, GPU, threads, the frameworks' switches that change numbers, and the flags that were set.

    No framework is imported for it: switches are told of those that are.
    """
    return {
        "versions": {package: found for package in PACKAGES if (found := find_version(package)) is not None},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "gpu": _name_gpu(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "switches": read_switches(),
        "flags": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIXES) or name in VARIABLES
        },
    }


def list_facts(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `describe_environment` found, and what was added to it, as names and values for people."""
    facts: list[tuple[str, str]] = list(environment.get("versions", {}).items())
    for framework, switches in environment.get("switches", {}).items():
        facts += [(f"{framework} {name.replace('_', ' ')}", "on" if on else "off") for name, on in switches.items()]
    facts += environment.get("flags", {}).items()
    nested = ("versions", "switches", "flags")
    return facts + [(n, str(value)) for n, value in environment.items() if n not in nested and value is not None]


def find_version(package: str) -> str | None:
    """Of an installed package; None of one that is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _name_gpu() -> str | None:
    """The first GPU that an imported framework sees."""
    torch, paddle = sys.modules.get("torch"), sys.modules.get("paddle")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    if paddle is not None and paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        return str(paddle.device.cuda.get_device_name(0))
    return None
