"""Checkpoint families: one module each, data without any framework.

A module of this package that defines `FAMILY` is a family; adding one is adding a file.
"""

from __future__ import annotations

import importlib
import pkgutil

from families.architecture import (
    DEPTHS,
    Architecture,
    Depth,
    Family,
    Preprocessing,
    PublishedFigure,
    Rule,
    Variant,
)
from families.canonical import canonical_shapes


def _discover() -> dict[str, Family]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    families = (module.FAMILY for module in modules if hasattr(module, "FAMILY"))
    return {family.name: family for family in families}


FAMILIES: dict[str, Family] = _discover()


def get_family(name: str) -> Family:
    """The family called `name`. Raises ValueError, listing the known ones, if there is none."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(sorted(FAMILIES))}") from None


def check_size(*, num_classes: int, recurrence: int, depth: int) -> None:
    """Raise ValueError unless a CCNet of this size can be built."""
    if depth not in DEPTHS:
        raise ValueError(f"unknown depth {depth}; known: {', '.join(map(str, DEPTHS))}")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, not {num_classes}")
    if recurrence < 0:
        raise ValueError(f"recurrence must be at least 0, not {recurrence}")


__all__ = [
    "DEPTHS",
    "FAMILIES",
    "Architecture",
    "Depth",
    "Family",
    "Preprocessing",
    "PublishedFigure",
    "Rule",
    "Variant",
    "canonical_shapes",
    "check_size",
    "get_family",
]
