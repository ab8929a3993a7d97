"""Gate "backward": one pass in train mode, with dropout, forwards and back, layer by layer.

The reference's loss sends its gradients back from the outputs of both networks: what is exercised is the port's
network, no loss of its. Free-running, the gradients of every module's inputs and outputs are compared as they come: the
first bad one on the way back from the loss is named. Isolated, each module is given the reference's inputs and upstream
gradients: the first bad one is itself wrong.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from parity.certify.calls import Call, Key, Recording, observable, recording, replay, replay_forward
from parity.certify.causes.backward import explain_pass, gather_numbers, upstream_of
from parity.certify.causes.engine import Asked, explain
from parity.certify.causes.readings import explain_settings
from parity.certify.causes.statistics import propose_statistics
from parity.certify.dropout import functions_drop_nothing, is_dropout, kind_of
from parity.certify.gate import Check, Evidence, HandIn
from parity.certify.limits import (
    EXACT,
    EXACT_REASON,
    GRADIENT,
    GRADIENT_REASON,
    ISOLATED_GRADIENT,
    ISOLATED_GRADIENT_REASON,
    STATISTIC,
    STATISTIC_REASON,
)
from parity.certify.measure import Distance, greatest, layer_scales, worst
from parity.certify.outputs import in_order
from parity.certify.sides import Side
from parity.certify.state import load_values, statistics_of
from parity.certify.subject import Subject
from parity.verdicts.found import Found

Array = np.ndarray[Any, Any]

ZERO = 1e-12
"""Of the layer's gradients: rounding of what is zero by analysis."""


def run(subject: Subject) -> Evidence:
    """Outputs, statistics, parameters' gradients, and both layer-by-layer comparisons."""
    dropout = _dropout(subject)
    with functions_drop_nothing():
        return _run(subject, [dropout])


def _run(subject: Subject, checks: list[Check]) -> Evidence:
    sides = subject.torch(), subject.paddle()
    for side in sides:
        side.share_dropout(subject.seed)
        side.train()
    before = statistics_of(sides[0])
    paths = observable(sides[0])
    images, labels = subject.batch(0)
    outputs, recordings = [], []
    for side in sides:
        with recording(side, paths) as calls:
            outputs.append(in_order(side.model(side.tensor(images))))
        recordings.append(calls)
    count = _count(outputs)
    if not count:
        return Evidence(checks=[*checks, count])
    reached, upstream = _go_back(subject, sides, outputs, labels)
    gradients, states = [side.gradients() for side in sides], [statistics_of(side) for side in sides]
    whole = [
        _free(sides, recordings),
        reached,
        _check("parameters", worst(gradients[1], gradients[0], layer_scales(gradients[0]))),
    ]
    isolated, guilty = _isolated(subject, sides, recordings)
    remarks = _zero(*gradients)
    if all(whole) and not isolated:
        remarks.append(
            f"all gradients agree as they come: that {isolated.detail} is {isolated.measured:.1e} apart where it runs "
            "alone is the harness's own doubt, as of a boundary that the port draws elsewhere"
        )
    else:
        checks.append(isolated)
    statistics = _statistics("running statistics", before, *states)
    others = all([*checks, *whole])

    def explain_why() -> Found:
        if others:
            return _explain_statistics(before, *states)
        if all(whole):
            return explain_settings(checks)
        with functions_drop_nothing():
            numbers = [
                gather_numbers(side, own, state) for side, own, state in zip(sides, outputs, states, strict=True)
            ]
            return explain_pass(subject, sides, recordings, guilty, upstream, numbers)

    hand_in = _hand_in(*gradients)
    alone = [] if statistics else [_isolated_statistics(sides, recordings, before)]
    checks = [*checks, *whole, *alone, statistics]
    return Evidence(checks=checks, remarks=remarks, explain=explain_why, hand_in=hand_in)


def _explain_statistics(before: dict[str, Array], *states: dict[str, Array]) -> Found:
    """Why statistics alone are others."""
    ours, theirs = states
    return explain([Asked("a pass", theirs, ours, STATISTIC)], propose_statistics(before, ours, theirs))


def _hand_in(expected: dict[str, Array], actual: dict[str, Array]) -> HandIn:
    """Gradients on the scale of their layer's, as they are compared: as they come, most are too small to count."""
    scales = {name: scale or 1.0 for name, scale in layer_scales(expected).items()}
    reference, port = (
        {f"{name}.grad / {scales.get(name, 1.0):.6g}": array / scales.get(name, 1.0) for name, array in side.items()}
        for side in (expected, actual)
    )
    return HandIn(reference=reference, port=port)


def _count(outputs: list[list[Any]]) -> Check:
    expected, actual = map(len, outputs)
    detail = f"the port gives {actual} in train mode, the reference {expected}"
    difference = abs(expected - actual)
    return Check(name="number of outputs", measured=difference, limit=EXACT, reason=EXACT_REASON, detail=detail)


def _go_back(
    subject: Subject, sides: tuple[Side, Side], outputs: list[list[Any]], labels: Array
) -> tuple[Check, list[Array]]:
    """Send the gradients of the reference's loss back through both networks; returns the outputs' comparison, and them.

    The reference's `outputs` become those at the port's size.
    """
    reference, port = sides
    expected = subject.forms[1].bring(outputs[0], subject.size)
    for tensor in expected:
        reference.retain(tensor)
    reference.criterion()(tuple(expected), reference.tensor(labels)).backward()
    upstream = [reference.array(tensor.grad) for tensor in expected]
    port.send_back(outputs[1], [port.tensor(array) for array in upstream])
    outputs[0] = expected
    arrays = [
        {f"output {number}": side.array(tensor) for number, tensor in enumerate(tensors)}
        for side, tensors in zip(sides, (expected, outputs[1]), strict=True)
    ]
    distance, where = worst(arrays[1], arrays[0], greatest(arrays[0]))
    return Check(name="outputs", measured=distance, limit=GRADIENT, reason=GRADIENT_REASON, detail=where), upstream


def _isolated_statistics(sides: tuple[Side, Side], recordings: list[Recording], before: dict[str, Array]) -> Check:
    """What each norm keeps of the reference's input, from the reference's state: its own rule, whatever came before."""
    found: list[dict[str, Array]] = [{}, {}]
    for (path, number), call in recordings[0].calls.items():
        names = [name for name in before if name.rpartition(".")[0] == path and _fits(sides[1], name, before[name])]
        if number or not names or (path, number) not in recordings[1].calls:
            continue
        for side, recorded, kept in zip(sides, recordings, found, strict=True):
            load_values(side, {name: before[name] for name in names})
            with side.without_gradients():
                replay_forward(side, recorded.calls[path, number], call.given)
            kept |= {name: side.array(side.tensors[name]) for name in names}
    return _statistics("running statistics, isolated", before, *found)


def _fits(side: Side, name: str, array: Array) -> bool:
    return name in side.tensors and tuple(side.tensors[name].shape) == array.shape


def _statistics(what: str, before: dict[str, Array], ours: dict[str, Array], theirs: dict[str, Array]) -> Check:
    distance, where = worst(theirs, ours, greatest(ours))
    if where.endswith("running_var") and distance > STATISTIC:
        where += f", {_guess(before[where], ours[where], theirs[where])}"
    return Check(name=what, measured=distance, limit=STATISTIC, reason=STATISTIC_REASON, detail=where)


def _guess(before: Array, ours: Array, theirs: Array) -> str:
    """What a wrong running variance may come from: with a biased one, every change is smaller by one share of it."""
    shares = (theirs - 0.9 * before) / np.where(ours == 0.9 * before, 1, ours - 0.9 * before)
    if shares.min() > 0.5 and shares.max() < 1 and np.ptp(shares) < 1e-4:
        return f"biased: {shares.mean():.6g} of the reference's; use models_paddle.norm.unbias"
    return "not the reference's: compare momentum, and whether the layer is in train mode"


def _free(sides: tuple[Side, Side], recordings: list[Recording]) -> Check:
    """On the way back: the last module forwards is the first backwards."""
    first: Distance | None = None
    most: Distance = 0.0, ""
    for key in reversed(recordings[0].calls):
        expected = recordings[0].gradients(sides[0], key)
        if not expected:
            continue
        if key not in recordings[1].calls:
            found: Distance = math.inf, f"{key[0]} is never called"
        else:
            actual = recordings[1].gradients(sides[1], key)
            for name in recordings[0].overwritten(key) | recordings[1].overwritten(key):
                expected.pop(name, None)
                actual.pop(name, None)
            distance, which = worst(actual, expected, greatest(expected))
            found = distance, f"{recordings[0].calls[key].name}, {which}"
        most = max(most, found)
        if first is None and not found[0] <= GRADIENT:
            first = found
    return _check("layer by layer, free-running", first or most)


def _isolated(subject: Subject, sides: tuple[Side, Side], recordings: list[Recording]) -> tuple[Check, Key | None]:
    """With the first call that is itself wrong."""
    guilty: Key | None = None
    most: Distance = 0.0, ""
    for key, call in recordings[0].calls.items():
        upstream = upstream_of(sides[0], call)
        if upstream is None:
            continue
        subject.progress(f"backward, {call.name}")
        found = _replay(sides, [call, recordings[1].calls.get(key)], upstream)
        most = max(most, found)
        if not found[0] <= ISOLATED_GRADIENT:
            guilty, most = key, found
            break
    check = Check(
        name="layer by layer, isolated",
        measured=most[0],
        limit=ISOLATED_GRADIENT,
        reason=ISOLATED_GRADIENT_REASON,
        detail=most[1],
    )
    return check, guilty


def _replay(sides: tuple[Side, Side], calls: list[Call | None], upstream: list[Array]) -> Distance:
    """Both calls with the reference's inputs, each with its own other arguments."""
    expected, actual = calls
    assert expected is not None
    if actual is None:
        return math.inf, f"{expected.name} is never called"
    try:
        distance, which = _distance(
            *(
                replay(side, call, expected.given, upstream)
                for side, call in zip(sides, (expected, actual), strict=True)
            )
        )
    except ValueError as error:
        return math.inf, f"{expected.name}: {error}"
    return distance, f"{expected.name}, {which}"


def _distance(
    ours: tuple[dict[str, Array], dict[str, Array]], theirs: tuple[dict[str, Array], dict[str, Array]]
) -> Distance:
    """Of outputs on their own scale, of gradients on that of their layer's (an input's on its own)."""
    scales = {**greatest(ours[0]), **layer_scales(ours[1])}
    scales |= {name: value for name, value in greatest(ours[1]).items() if name.startswith("input")}
    return worst({**theirs[0], **theirs[1]}, {**ours[0], **ours[1]}, scales)


def _dropout(subject: Subject) -> Check:
    """Each framework's own dropout, of paired layers, and of the others by their order."""
    reference, port = subject.torch(), subject.paddle()
    for side in (reference, port):
        shared = side.share_dropout(subject.seed)
        side.train()
        for path in shared:
            del side.modules[path].module.forward  # its own again
    odd = []
    for path in shared:
        expected, actual = (kind_of(side, side.modules[path].module) for side in (reference, port))
        if actual != expected:
            odd.append(f"{path}: {actual}, the reference's {expected}")
    odd += _unpaired_dropouts(subject, reference, port)
    return Check(
        name="dropouts of another kind",
        measured=len(odd),
        limit=EXACT,
        reason="masks are random, their shape and scale are not",
        detail=odd[0] if odd else "",
    )


def _unpaired_dropouts(subject: Subject, reference: Side, port: Side) -> list[str]:
    """What is odd about dropouts that are not paired: layers first, then functions, in order."""
    paired = [{id(side.modules[path].module) for path in side.modules} for side in (reference, port)]
    expected = {p: m for p, m in reference.model.named_modules() if is_dropout(m) and id(m) not in paired[0]}
    layers = [m for m in port.model.sublayers() if is_dropout(m) and id(m) not in paired[1]]
    kinds = []
    for layer in layers:
        layer.train()
        kinds.append(kind_of(port, layer))
        layer.eval()
    port.share_dropout(subject.seed)  # a paired layer calls the function too
    with port.without_gradients(), functions_drop_nothing() as found:
        port.model(port.tensor(subject.batch(0)[0]))
    kinds += found
    odd = []
    for number, (path, module) in enumerate(expected.items()):
        module.train()
        wanted, actual = kind_of(reference, module), kinds[number] if number < len(kinds) else "the port has none"
        if actual != wanted:
            odd.append(f"{path}: {actual}, the reference's {wanted}" if number < len(kinds) else f"{path}: {actual}")
    more = kinds[len(expected) :]
    return odd + [f"the port has one more: {kind}" for kind in more]


def _zero(ours: dict[str, Array], theirs: dict[str, Array]) -> list[str]:
    """Parameters whose gradient is zero by analysis: on both sides nothing but rounding."""
    scales = layer_scales(ours)
    names = [
        name
        for name, scale in scales.items()
        if scale and all(np.abs(side[name]).max() <= ZERO * scale for side in (ours, theirs) if name in side)
    ]
    return [f"gradients that are zero by analysis: {', '.join(names)}"] if names else []


def _check(name: str, found: Distance) -> Check:
    return Check(name=name, measured=found[0], limit=GRADIENT, reason=GRADIENT_REASON, detail=found[1])
