"""`compare_models`: two networks, layer by layer, in two modes and two precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from typing import Any

import numpy as np
from torch import nn

from parity.causes.settings import compare_attributes
from parity.engine.boundaries import find_redrawn, find_suspects
from parity.engine.follow import Sink
from parity.engine.passes import Findings, Passes
from parity.engine.scalars import may_be_rounding, write_out
from parity.networks.modules import ModuleInfo, paddle_modules, torch_modules
from parity.pairing.propose import Pairing, pair_modules
from parity.verdicts.incumbents import CRITERIA
from parity.verdicts.report import Coverage, Guilty, Layer, Report
from twins.processor import quiet_collector, return_freed_memory

Array = np.ndarray[Any, Any]
Images = Array | Mapping[str, Array]

MODES = {"free": ("free",), "isolated": ("isolated",), "both": ("isolated", "free")}


def compare_models(
    torch_module: nn.Module,
    paddle_layer: Any,
    images: Images,
    *,
    pairs: Mapping[str, str] | Pairing | None = None,
    mode: str = "both",
    dtypes: Sequence[str] = ("float64", "float32"),
    accept: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    fail_fast: bool = False,
    weights: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda phase: None,
    sink: Sink | None = None,
) -> Report:
    """Compare any torch module with any Paddle layer, module by module, in evaluation mode.

    `images`: an array (N, ...) or several by name; rounded to float32 in both precisions. `pairs`: torch path -> Paddle
    path, or a finished pairing; by default by equal paths, else proposed (`parity.pairing.propose`).
    `mode`: "free", "isolated" or "both".
    `dtypes`: float64 asks whether it is the same function, float32 whether its rounding is ordinary.
    `accept`: globs of paths or parameters whose gap (unpaired, uninfluential) is accepted. `only`, `skip`:
    globs of the torch paths to compare. `fail_fast` stops at the first failure.
    `sink` is shown each output of the free passes: the probe, Paddle's tensor and torch's.

    Both models are left as they were. Raises ParityInputError for a wrong mapping, and whatever the models raise.
    """
    inputs = dict(images) if isinstance(images, Mapping) else {_shape_name(images): images}
    ours, theirs = torch_modules(torch_module), paddle_modules(paddle_layer)
    pairing = pairs if isinstance(pairs, Pairing) else pair_modules(ours, theirs, pairs)
    chosen = {path: target for path, target in pairing.pairs.items() if _chosen(path, only, skip)}
    loose = _loose(pairing.pairs, ours, theirs)
    passes = Passes(
        torch_module, paddle_layer, theirs, inputs, exact="float64" in dtypes, progress=progress, fail_fast=fail_fast
    )
    first, *rest = [(dtype, each) for dtype in sorted(dtypes, reverse=True) for each in MODES[mode]]
    with ExitStack() as stack:
        stack.enter_context(passes.in_eval_mode())
        stack.enter_context(quiet_collector())
        return_freed_memory()
        uninfluential, dead = passes.find_uninfluential()
        return_freed_memory()
        found = passes.compare(pairing.pairs, chosen, [first], sink)
        notes: dict[str, str] = {}
        redrawn: set[str] = set()
        if find_suspects(found.failures, loose) or may_be_rounding(found):
            is_whole = first == ("float64", "isolated") and len(chosen) == len(pairing.pairs) and not fail_fast
            whole = found if is_whole else passes.isolate(pairing.pairs)
            notes, whole = write_out(torch_module, whole, lambda: passes.isolate(pairing.pairs), stack)
            redrawn = find_redrawn(passes.isolate, pairing.pairs, loose, whole)
        followed = {path: target for path, target in pairing.pairs.items() if path not in redrawn}
        if notes or redrawn:
            found = passes.compare(followed, chosen, [first], None)
        if not (fail_fast and found.failures):
            found += passes.compare(followed, chosen, rest, sink)
    seen = {layer.path for layer in found.layers}
    coverage = Coverage(
        paired=tuple(path for path in chosen if path in seen),
        unpaired_torch=(*pairing.unpaired_torch, *found.leftover.values()),
        unpaired_paddle=(*pairing.unpaired_paddle, *found.unmatched.values()),
        uncovered=pairing.uncovered,
        ambiguous=pairing.ambiguous,
        uncalled=tuple(path for path in chosen if path not in seen | redrawn and not fail_fast),
        redrawn=tuple(path for path in pairing.pairs if path in redrawn),
        uninfluential=uninfluential,
        accepted=tuple(accept),
        origin=pairing.origin,
    )
    attributes = _attributes(chosen, ours, theirs)
    return Report(
        layers=tuple(found.layers),
        coverage=coverage,
        guilty=tuple(_in_order([*find_guilty(found.layers), *attributes], found.layers)),
        problems=tuple(_problems(coverage, found, dead, weights or {})),
        notes=tuple(notes.values()),
        scalars=tuple(notes),
        weights=weights or {},
        pairs=chosen if pairing.origin != "path" else {},
        settings=settings or {},
        incumbents={
            name: {"passed": all(verdict[name] for verdict in found.verdicts), "detail": criterion.description}
            for name, criterion in (CRITERIA.items() if found.verdicts else ())
        },
    )


def find_guilty(layers: Sequence[Layer]) -> list[Guilty]:
    """The layers that are wrong by themselves, in order of execution, each once, by its isolated failures."""
    found: dict[tuple[str, int], Guilty] = {}
    for layer in layers:
        if layer.mode == "isolated" and not layer.comparison:
            found.setdefault(
                (layer.path, layer.call),
                Guilty(
                    path=layer.path,
                    call=layer.call,
                    dtype=layer.dtype,
                    site=layer.site,
                    reason=layer.comparison.reason,
                ),
            )
    return list(found.values())


def _in_order(guilty: Sequence[Guilty], layers: Sequence[Layer]) -> list[Guilty]:
    """Each layer's first entry, in order of execution."""
    once = {(entry.path, entry.call): entry for entry in reversed(guilty)}
    order = {layer.path: number for number, layer in reversed(list(enumerate(layers)))}
    return sorted(once.values(), key=lambda entry: (order.get(entry.path, len(layers)), entry.call))


def _attributes(
    pairs: Mapping[str, str], ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> list[Guilty]:
    found = []
    for path, target in pairs.items():
        reason = compare_attributes(ours[path], theirs[target])
        if reason:
            found.append(Guilty(path=path, call=0, dtype="", site="attributes", reason=reason))
    return found


def _problems(coverage: Coverage, found: Findings, dead: Sequence[str], weights: Mapping[str, Any]) -> Iterator[str]:
    def open_gaps(names: Sequence[str]) -> list[str]:
        return [n for n in names if not any(fnmatch(n.partition(" #")[0], glob) for glob in coverage.accepted)]

    if weights.get("different"):
        different = weights["different"]
        yield f"{len(different)} weights differ from the source's after conversion, first {different[0]}"
    if not found.layers:
        yield "nothing was compared"
    gaps = (
        (tuple(found.leftover.values()), "calls that only torch makes"),
        (tuple(found.unmatched.values()), "calls that only Paddle makes"),
        (coverage.uncovered, "layers or parameters with no counterpart"),
        (coverage.ambiguous, "layers with several counterparts of equal weights"),
        (dead, "parameters that influence no output, so that a mistake in them is invisible"),
    )
    for names, what in gaps:
        remaining = open_gaps(names)
        if remaining:
            more = f" and {len(remaining) - 3} more" if len(remaining) > 3 else ""
            yield f"{len(remaining)} {what}: {', '.join(remaining[:3])}{more}; accept by name with --accept"


def _loose(
    pairs: Mapping[str, str], ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> dict[str, bool]:
    """The pairs that need not correspond, in whatever way a port is written, and whether one has own parameters."""
    found = {}
    for path, target in pairs.items():
        weighty = [info for info in (ours[path], theirs[target]) if info.tensors]
        if path and not any(info.is_leaf for info in weighty):
            found[path] = bool(weighty)
    return found


def _chosen(path: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    return (not only or any(fnmatch(path, glob) for glob in only)) and not any(fnmatch(path, glob) for glob in skip)


def _shape_name(images: Array) -> str:
    return "×".join(map(str, images.shape))
