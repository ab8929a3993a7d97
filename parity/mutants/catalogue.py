"""The whole catalogue, by theme."""

from __future__ import annotations

from parity.mutants import (
    attention,
    configs,
    convolution,
    functions,
    normalisation,
    pipeline,
    structure,
    training,
    training_steps,
    units,
    weights,
)
from parity.mutants.equivalents import EQUIVALENTS
from parity.mutants.mutant import Mutant

MUTANTS: dict[str, list[Mutant]] = {
    "attention": attention.MUTANTS,
    "normalisation": normalisation.MUTANTS,
    "convolution": convolution.MUTANTS,
    "weights": weights.MUTANTS,
    "structure": structure.MUTANTS,
    "units": units.MUTANTS,
    "pipeline": pipeline.MUTANTS,
    "training": [*training.MUTANTS, *training_steps.MUTANTS],
    "configs": configs.MUTANTS,
    "functions": functions.MUTANTS,
}

CATALOGUE: dict[str, list[Mutant]] = {
    **MUTANTS,
    "equivalents": [*EQUIVALENTS, *configs.EQUIVALENTS, *functions.EQUIVALENTS],
}
"""Theme -> entries."""
