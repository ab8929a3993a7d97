"""Why a pass in train mode is another: the reference's again, under an edit, of one module and of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parity.certify.calls import Call, Key, Recording, replay
from parity.certify.causes.engine import Array, Asked, Numbers, explain
from parity.certify.causes.gradients import Edit, edited, propose_gradients
from parity.certify.limits import GRADIENT, ISOLATED_GRADIENT, STATISTIC
from parity.certify.outputs import in_order
from parity.certify.paddle_side import PaddleSide
from parity.certify.sides import STATISTICS, Side
from parity.certify.torch_side import TorchSide
from parity.verdicts.found import Found

if TYPE_CHECKING:
    from parity.certify.subject import Subject

ALONE = "alone"
SAMPLE = 4096
"""Gradients of each parameter that hypotheses are tried on."""


def explain_pass(
    subject: Subject,
    sides: tuple[TorchSide, PaddleSide],
    recordings: list[Recording],
    guilty: Key | None,
    upstream: list[Array],
    numbers: list[dict[str, Numbers]],
) -> Found:
    """Why the pass is another: the reference's again, under an edit, of the guilty module alone and of the network."""
    spare = subject.torch()
    spare.share_dropout(subject.seed)
    spare.train()
    kept: list[tuple[Edit, dict[str, Numbers]]] = []

    def run(key: str, edit: Edit) -> Numbers:
        with edited(spare, edit):
            if key == ALONE and guilty is not None:
                return _alone(spare, recordings[0].calls[guilty], sides[0], recordings[0].calls[guilty])
            if not kept or kept[0][0] is not edit:
                images = spare.tensor(subject.batch(0)[0])
                outputs = subject.forms[1].bring(in_order(spare.model(images)), subject.size)
                spare.send_back(outputs, [spare.tensor(array) for array in upstream])
                kept[:] = [(edit, gather_numbers(spare, outputs, spare.state()))]
            return kept[0][1][key]

    limits = {"gradients": GRADIENT, "statistics": STATISTIC}
    asked = [Asked(key, numbers[1][key], numbers[0][key], limit) for key, limit in limits.items()]
    factor = None
    if guilty is not None and guilty in recordings[1].calls:
        alone = [
            _alone(side, one.calls[guilty], sides[0], recordings[0].calls[guilty])
            for side, one in zip(sides, recordings, strict=True)
        ]
        asked.insert(0, Asked(ALONE, alone[1], alone[0], ISOLATED_GRADIENT, f"`{guilty[0]}` alone"))
        factor = _factor(alone)
    return explain(asked, propose_gradients(sides, None if guilty is None else guilty[0], factor, run))


def _alone(side: Side, own: Call, reference: Side, call: Call) -> Numbers:
    """What a call gives by itself of the reference's inputs and upstream gradients; parameters' gradients in one."""
    upstream = upstream_of(reference, call)
    assert upstream is not None
    outputs, gradients = replay(side, own, call.given, upstream)
    inputs = {name: array for name, array in gradients.items() if name.startswith("input")}
    parameters = [array.ravel() for name, array in gradients.items() if name not in inputs]
    return {**outputs, **inputs, **({"parameters": np.concatenate(parameters)} if parameters else {})}


def _factor(alone: list[Numbers]) -> float | None:
    """By which the gradients of the first input seem to be multiplied."""
    ours, theirs = (one.get("input 0", np.zeros(1)).ravel() for one in alone)
    square = float(ours @ ours)
    return float(theirs @ ours) / square if square and ours.shape == theirs.shape else None


def gather_numbers(side: Side, outputs: list[Any], state: dict[str, Array]) -> dict[str, Numbers]:
    """Outputs and gradients, of each layer's parameters in one, and statistics: some values of each.

    A bias may have no gradient by analysis, and its rounding is its own.
    """
    layers: dict[str, list[Array]] = {}
    found = side.gradients()
    for name, tensor in side.parameters.items():
        array = found.get(name, np.zeros(tuple(tensor.shape))).ravel()
        layers.setdefault(name.rpartition(".")[0], []).append(array[:: max(array.size // SAMPLE, 1)])
    return {
        "gradients": {
            **{f"output {number}": side.array(tensor) for number, tensor in enumerate(outputs)},
            **{f"gradients of {layer}": np.concatenate(arrays) for layer, arrays in layers.items()},
        },
        "statistics": {name: array for name, array in state.items() if name.endswith(STATISTICS)},
    }


def upstream_of(side: Side, call: Call) -> list[Array] | None:
    """The gradients of a call's outputs; None where one has none."""
    gradients = [output.grad if call.is_kept(output) else None for output in call.outputs]
    return None if any(one is None for one in gradients) else [side.array(one) for one in gradients]
