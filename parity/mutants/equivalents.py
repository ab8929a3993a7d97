"""Rewrites that change how the port computes, and not what: none may raise an alarm."""

from __future__ import annotations

from parity.mutants import equivalent_attention, equivalent_layers, equivalent_structure, equivalent_units
from parity.mutants.mutant import Mutant

EQUIVALENTS: list[Mutant] = [
    *equivalent_attention.EQUIVALENTS,
    *equivalent_layers.EQUIVALENTS,
    *equivalent_structure.EQUIVALENTS,
    *equivalent_units.EQUIVALENTS,
]
