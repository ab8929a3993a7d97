"""Words of a config that PaddleSeg evaluates as Python: only names are let through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from converter.errors import InputError

EVALUATED = frozenset({"arm_type", "norm_layer"})
"""Arguments that PaddleSeg 2.8.0 hands to `eval` (PPLiteSeg, MobileSeg, its vision transformers)."""
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")


def check_words(settings: Any, config: Path) -> None:
    """Raise InputError if a string in `settings`, however deep, would be run as code."""
    pending, seen = [settings], set()
    while pending:
        current = pending.pop()
        if id(current) in seen:  # a YAML alias
            continue
        seen.add(id(current))
        if isinstance(current, list | tuple):
            pending += current
        elif isinstance(current, dict):
            pending += current.values()
            for key in EVALUATED & {key for key in current if isinstance(key, str)}:
                if isinstance(current[key], str) and not NAME.fullmatch(current[key]):
                    raise InputError(f"{config}: {key} is {current[key]!r}, where a layer's name belongs")
