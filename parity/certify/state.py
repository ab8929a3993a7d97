"""Reading the state of a side and giving it another's: parameters, statistics and velocities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from parity.certify.sides import STATISTICS, Side

Array = np.ndarray[Any, Any]


def statistics_of(side: Side) -> dict[str, Array]:
    """Name -> running mean or variance."""
    return {name: side.array(tensor) for name, tensor in side.tensors.items() if name.endswith(STATISTICS)}


def load_values(side: Side, values: Mapping[str, Array]) -> None:
    """Give `side` these parameters and statistics, by torch's names."""
    for name in values:
        tensor = side.tensors[name]
        if side.framework == "torch":
            with torch.no_grad():
                tensor.copy_(torch.from_numpy(np.asarray(values[name])))
        else:
            tensor.set_value(values[name])


def load_state(side: Side, state: Mapping[str, Array]) -> None:
    """The same from a `state`: a scale that the network folds keeps its sign."""
    kept = {name: side.sign(name) * (state[name] - epsilon) for name, epsilon in side.folded.items()}
    load_values(side, {**state, **kept})


def velocities(side: Side, trainer: Any, given: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """The optimiser's velocities (name -> array) of the parameters that had a gradient, once set to `given`.

    They are with regard to the side's `state`.
    """
    parameters = side.parameters
    if side.framework == "torch":
        states = {name: trainer.optimiser.state.get(tensor, {}) for name, tensor in parameters.items()}
        buffers = {name: state.get("momentum_buffer") for name, state in states.items()}
        return {n: side.sign(n) * side.array(buffer) for n, buffer in buffers.items() if buffer is not None}
    keys = {name: f"{tensor.name}_velocity_0" for name, tensor in parameters.items()}
    if given is not None:
        named = {keys[n]: side.tensor(side.sign(n) * array) for n, array in given.items() if n in keys}
        trainer.optimiser.set_state_dict({**trainer.optimiser.state_dict(), **named})
    state = trainer.optimiser.state_dict()
    return {n: side.sign(n) * side.array(state[key]) for n, key in keys.items() if key in state}
