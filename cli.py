"""The commands `ccnet-convert`, `ccnet-parity`, `ccnet-eval` and `ccnet-seg` as functions; options are in `ccnet_cli/`.

The scripts begin in `ccnet_cli/start.py`, which no module of the user's can take the place of.
"""

from __future__ import annotations

from ccnet_cli.main import convert, evaluate, parity_main, seg_main

__all__ = ["convert", "evaluate", "parity_main", "seg_main"]
