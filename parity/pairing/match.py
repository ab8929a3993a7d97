"""Whether a port has the reference's weights, tensor by tensor, and giving them to one that has none.

    pairing = pair_modules(torch_modules(reference), paddle_modules(port))
    weights = compare_weights(torch_modules(reference), paddle_modules(port), pairing)
    if weights.is_fresh:
        copy_weights(...)

A tensor is the reference's if it is equal bit for bit, after rounding to the port's dtype, or after one of the
two operations: InPlaceABN multiplies by |weight| + epsilon, and either side may keep the sum and the other the weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converter.files.documents import read_document
from parity.networks.modules import ModuleInfo, paddle_modules, torch_modules
from parity.networks.recorded import RecordedModule, Recording
from parity.pairing.attention import join_projections
from parity.pairing.propose import Pairing, pair_modules
from parity.pairing.tensors import Modules, Slot, address_of, match_tensors, means_the_same, with_shared
from twins.lazy import nn, torch
from twins.tensors import in_half_precision

Array = np.ndarray[Any, Any]
EPSILON = 1e-5
"""InPlaceABN's, where a layer does not tell its own."""
TABLE = 1e-3
"""Of its greatest element: by which two tables of one formula may differ, which one side may keep to in float32."""
INITIAL = (0, 1)
"""What a parameter of one number, such as an attention's gamma, begins with on either side."""
PROBED = 3
"""Side of the pictures by which a layer is asked whether it takes its scale's magnitude."""


@dataclass(frozen=True)
class Match:
    """A tensor of the reference, the port's counterpart, and how the one becomes the other.

    `operation`: "copy", "transpose", "fold" (the port keeps |weight| + epsilon), "unfold" (the reference does), or ""
    if none makes them equal.
    """

    reference: Slot
    port: Slot
    operation: str
    epsilon: float = 0.0

    @property
    def label(self) -> str:
        """The reference's name of the tensor."""
        path, name = self.reference
        return f"{path}.{name}" if path else name


@dataclass(frozen=True)
class WeightMatch:
    """How a port's tensors compare with the reference's.

    `equal` and `different` are labels; a tensor whose values are all one, as fresh statistics are, or a number in
    INITIAL tells nothing and is in neither if it agrees. `alone` are tensors of the reference without a counterpart.
    """

    matches: tuple[Match, ...]
    equal: tuple[str, ...]
    different: tuple[str, ...]
    alone: tuple[str, ...] = ()
    untied: tuple[str, ...] = ()
    """Pairs of tensors ("this and that") that are one on one side and two, equal by now, on the other."""
    operations: Mapping[str, int] = field(default_factory=dict)
    """Name of an operation other than "copy" -> how many tensors it makes equal."""
    learned: tuple[str, ...] = ()
    """The `equal` that training makes; a table of positions is equal in any port that makes its own."""

    @property
    def is_none_of_them(self) -> bool:
        """Whether no tensor that was learned is the reference's."""
        return bool(self.different) and not self.learned


def read_mapping(path: Path) -> dict[str, str]:
    """A JSON object of torch path -> Paddle path. Raises InputError if the file is not one."""
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    mapping: dict[str, str] = read_document(path, schema, "mapping of the reference's path to the port's")
    return mapping


def match_port(
    reference: nn.Module | Recording,
    layer: Any,
    mapping: Mapping[str, str] | None,
    *,
    given: bool = False,
    scales: Mapping[str, Array] | None = None,
) -> tuple[Pairing, dict[str, Any]]:
    """Pair the port with the reference and compare their weights; returns the pairing and a summary.

    A port none of whose weights is the reference's, and which was not `given` any, has not been loaded: it is given
    them, layer by layer, by the pairing; the summary says so ("copied"). `scales` are the source's own, with their
    signs, by the reference's names, for a port that adds up |scale| + epsilon itself.
    """
    ours, own = torch_modules(reference), paddle_modules(layer)
    pairing = pair_modules(ours, own, mapping)
    theirs = join_projections(ours, own, pairing)
    found = compare_weights(ours, theirs, pairing)
    if found.is_none_of_them and not given and is_fresh(theirs):
        return pairing, give_weights(reference, layer, pairing, scales or {})
    return pairing, _summarise(found, copied=False)


def give_weights(
    reference: nn.Module | Recording, layer: Any, pairing: Pairing, scales: Mapping[str, Array]
) -> dict[str, Any]:
    """Give the port the reference's weights by the pairing, whatever it has; the summary as of `match_port`."""
    ours = torch_modules(reference)
    theirs = join_projections(ours, paddle_modules(layer), pairing)
    copy_weights(ours, theirs, compare_weights(ours, theirs, pairing), scales)
    theirs = join_projections(ours, paddle_modules(layer), pairing)
    return _summarise(compare_weights(ours, theirs, pairing), copied=True)


def _summarise(found: WeightMatch, *, copied: bool) -> dict[str, Any]:
    return {
        "tensors": len(found.equal) + len(found.different),
        "different": list(found.different),
        "copied": copied,
        "operations": dict(found.operations),
        "alone": list(found.alone),
        "untied": list(found.untied),
    }


def is_fresh(port: Modules) -> bool:
    """Whether a port's running statistics are those of a network that was never trained; true if it has none."""
    return all(
        bool(np.all(info.tensors[name] == value))
        for info in port.values()
        for name, value in (("running_mean", 0), ("running_var", 1))
        if info.kind == "norm" and name in info.tensors
    )


def compare_weights(reference: Modules, port: Modules, pairing: Pairing) -> WeightMatch:
    """Every tensor of the reference beside its counterpart: equal, by which operation, or different."""
    matched = match_tensors(reference, port, pairing)
    matches, equal, different, learned = [], [], [], []
    for slot, own in matched.items():
        match = _find_operation(reference, slot, port, own)
        matches.append(match)
        expected = reference[slot[0]].tensors[slot[1]]
        if not match.operation:
            different.append(match.label)
        elif expected.min() != expected.max() or (expected.size == 1 and expected.item() not in INITIAL):
            equal.append(match.label)
            if slot[1] in reference[slot[0]].parameters or reference[slot[0]].kind == "norm":
                learned.append(match.label)
    covered = with_shared(reference, matched)
    lost = [slot for slot in _slots(reference) if slot not in covered]
    layers = {path for path, target in pairing.pairs.items() if reference[path].is_leaf and port[target].is_leaf}
    different += [_label(slot) for slot in lost if slot[0] in layers]  # of a layer that has none of its shape
    alone = tuple(_label(slot) for slot in lost if slot[0] not in layers)
    kinds = [match.operation for match in matches if match.operation not in ("", "copy")]
    operations = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    untied = tuple(_find_untied(reference, port, matches))
    return WeightMatch(tuple(matches), tuple(equal), tuple(different), alone, untied, operations, tuple(learned))


def _find_untied(reference: Modules, port: Modules, matches: Sequence[Match]) -> Iterator[str]:
    ours, theirs = ({}, {})  # type: tuple[dict[int, Match], dict[int, Match]]
    for match in matches:
        for first, modules, slot, other, others in (
            (ours, reference, match.reference, match.port, port),
            (theirs, port, match.port, match.reference, reference),
        ):
            known = first.setdefault(address_of(modules, slot), match)
            kept = known.port if modules is reference else known.reference
            if known is not match and address_of(others, kept) != address_of(others, other):
                side = "reference" if modules is reference else "port"
                yield f"{known.label} and {match.label} are one tensor in the {side}, and two in the other"


def copy_weights(reference: Modules, port: Modules, weights: WeightMatch, scales: Mapping[str, Array]) -> None:
    """Give each of the port's tensors its counterpart's values; scales as the port's layers take them.

    A table that no file has, as of positions, stays what the port makes it, unless that is the same but for rounding.
    """
    for match in weights.matches:
        info, (target, own) = reference[match.reference[0]], match.port
        value = info.tensors[match.reference[1]]
        if _is_scale(info, match.reference[1]):
            value = _as_taken(info, port[target], own, value, scales.get(match.label))
        if _is_transposed(value, port[target].tensors[own]):
            value = value.T
        value = value.reshape(port[target].tensors[own].shape)
        is_own = any(place.is_own for place in port[target].places[own])
        if is_own and not np.allclose(port[target].tensors[own], value, rtol=0, atol=TABLE * np.abs(value).max()):
            continue
        port[target].write(own, value)


def follow_weights(exact: nn.Module, port: Modules, weights: WeightMatch) -> None:
    """Give `exact`, a float64 copy of the reference, the values that the port's tensors stand for.

    Both networks then run from the same numbers: rounding a folded scale, or to half precision, is judged with the
    weights and does not blur the comparison of layers. Tensors that differ stay as they are.
    """
    for match in weights.matches:
        path, name = match.reference
        holder = exact.get_submodule(path)
        for part in name.split(".")[:-1]:
            holder = getattr(holder, part)
        tensor = getattr(holder, name.rpartition(".")[2])
        actual = port[match.port[0]].tensors[match.port[1]].astype(np.float64)
        if match.operation == "transpose":
            actual = actual.T
        if match.operation == "fold":
            sign = np.where(tensor.detach().cpu().numpy() < 0, -1.0, 1.0)
            actual = sign * (actual - match.epsilon)
        elif match.operation == "unfold":
            actual = np.abs(actual) + match.epsilon
        if match.operation and tensor.is_floating_point():
            with torch.no_grad():
                tensor.copy_(torch.from_numpy(np.ascontiguousarray(actual)).reshape(tensor.shape))


def _find_operation(reference: Modules, slot: Slot, port: Modules, own: Slot) -> Match:
    ours, theirs = reference[slot[0]], port[own[0]]
    expected, actual = ours.tensors[slot[1]], theirs.tensors[own[1]]
    if _is_transposed(expected, actual):
        return Match(
            slot, own, "transpose" if _rounded(expected.T, theirs, own[1]).tobytes() == actual.tobytes() else ""
        )
    if _rounded(expected, theirs, own[1]).tobytes() == actual.tobytes():
        return Match(slot, own, "copy")
    if _is_scale(ours, slot[1]):
        for operation, epsilon in (("fold", scale_epsilon(ours)), ("unfold", scale_epsilon(theirs))):
            kept, summed = (expected, actual) if operation == "fold" else (actual, expected)
            keeper = (ours, slot[1]) if operation == "fold" else (theirs, own[1])
            if _is_sum(kept, summed, epsilon) and takes_magnitude(*keeper):
                return Match(slot, own, operation, epsilon)
    return Match(slot, own, "")


def _is_transposed(expected: Array, actual: Array) -> bool:
    return expected.shape != actual.shape and expected.T.shape == actual.shape


def _rounded(expected: Array, theirs: ModuleInfo, name: str) -> Array:
    """As a port keeps it that has another dtype."""
    kept = str(theirs.places[name][0].tensor.dtype).rpartition(".")[2]
    if expected.dtype.kind == "f" and kept in ("float16", "bfloat16"):
        return in_half_precision(expected, kept)
    return expected.astype(theirs.tensors[name].dtype)


def _is_scale(info: ModuleInfo, name: str) -> bool:
    """Whether a tensor is what a layer multiplies by after normalising with running statistics."""
    tensor = info.tensors[name]
    variances = [one for other, one in info.tensors.items() if "var" in other]
    return means_the_same(name, "weight") and tensor.ndim == 1 and any(one.shape == tensor.shape for one in variances)


def _is_sum(kept: Array, summed: Array, epsilon: float) -> bool:
    """Whether `summed` is |kept| + epsilon, rounded as anybody may round it."""
    exact = np.abs(kept.astype(np.float64)) + epsilon
    return bool(np.all(np.abs(exact - summed) <= 1.01 * np.finfo(np.float32).eps * exact))


def scale_epsilon(info: ModuleInfo) -> float:
    value = next((getattr(info.module, name, None) for name in ("eps", "_epsilon", "epsilon")), None)
    return float(np.float32(value if isinstance(value, float) else EPSILON))


def _as_taken(ours: ModuleInfo, theirs: ModuleInfo, own: str, value: Array, signed: Array | None) -> Array:
    """A scale as the port's layer takes it: added up for a BatchNorm, as it is for one that adds up itself."""
    adds_up = takes_magnitude(ours, "weight"), takes_magnitude(theirs, own)
    if adds_up == (True, False):
        return (np.abs(value.astype(np.float64)) + scale_epsilon(ours)).astype(value.dtype)
    if adds_up == (False, True) and signed is not None:
        return signed.astype(value.dtype)
    if adds_up == (False, True):
        return (value.astype(np.float64) - scale_epsilon(theirs)).astype(value.dtype)
    return value


def takes_magnitude(info: ModuleInfo, name: str) -> bool:
    """Whether a norm gives the same for the scale called `name` and for its negative, as InPlaceABN does."""
    if isinstance(info.module, RecordedModule):
        return info.module.recorded_magnitude
    if type(info.module).__module__.partition(".")[0] in ("torch", "paddle"):
        return False
    kernels = [tensor for tensor in info.tensors.values() if tensor.ndim == 4]
    channels = kernels[0].shape[1] if kernels else len(info.tensors[name])
    images = np.linspace(-1, 1, channels * PROBED * PROBED, dtype=np.float32).reshape(1, channels, PROBED, PROBED)
    run = _run_paddle if hasattr(info.module, "sublayers") else _run_torch
    try:
        plain, negative = run(info, name, images, 1.0), run(info, name, images, -1.0)
    except Exception:  # noqa: BLE001 - whatever the user's class says of such an input
        return False
    return bool(np.allclose(plain, negative, rtol=1e-4, atol=1e-5)) and bool(np.ptp(plain) > 0)


def _run_torch(info: ModuleInfo, name: str, images: Array, sign: float) -> Array:
    weight, training = info.places[name][0].tensor, info.module.training
    before = weight.detach().clone()
    info.module.eval()
    try:
        with torch.no_grad():
            weight.copy_(sign * (before + (before == 0)))
            inputs = torch.from_numpy(images.copy()).to(weight.device, weight.dtype)
            return np.array(info.module(inputs).float().cpu().numpy())
    finally:
        with torch.no_grad():
            weight.copy_(before)
        info.module.train(training)


def _run_paddle(info: ModuleInfo, name: str, images: Array, sign: float) -> Array:
    from models_paddle import paddle

    weight, training = info.places[name][0].tensor, info.module.training
    before = weight.clone()
    info.module.eval()
    try:
        with paddle.no_grad():
            weight.set_value(sign * (before + (before == 0).astype(before.dtype)))
            return np.array(info.module(paddle.to_tensor(images).astype(weight.dtype)).astype("float32").numpy())
    finally:
        weight.set_value(before)
        info.module.train() if training else info.module.eval()


def _slots(modules: Modules) -> Iterator[Slot]:
    return ((path, name) for path, info in modules.items() for name in info.tensors)


def _label(slot: Slot) -> str:
    return ".".join(filter(None, slot))
