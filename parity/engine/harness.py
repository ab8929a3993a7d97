"""`compare_models`: two networks, layer by layer, in two modes and two precisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from typing import Any

import numpy as np

from parity.causes.settings import find_difference
from parity.engine.boundaries import (
    draw_boundaries,
)
from parity.engine.doubts import Doubts
from parity.engine.follow import Sink
from parity.engine.memory import quiet_collector, return_freed_memory
from parity.engine.passes import Passes
from parity.engine.problems import list_problems, resized_otherwise, train_apart
from parity.engine.recorded import RecordedPasses
from parity.engine.recorded_reasons import RecordedReasons
from parity.engine.scalars import round_epsilons
from parity.engine.witness import Witness
from parity.environment.describe import describe_environment
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.modules import ModuleInfo, paddle_modules, torch_modules
from parity.networks.recorded import Recording
from parity.pairing.attention import join_projections
from parity.pairing.match import compare_weights, follow_weights
from parity.pairing.propose import Pairing, pair_modules
from parity.verdicts.incumbents import CRITERIA
from parity.verdicts.report import ATTRIBUTES_SITE, Coverage, Guilty, Layer, Report
from twins.lazy import nn

Array = np.ndarray[Any, Any]
Input = Array | Arguments
Images = Input | Mapping[str, Input]

MODES = {"free": ("free",), "isolated": ("isolated",), "both": ("isolated", "free")}


def compare_models(
    torch_module: nn.Module | Recording,
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
    align_corners: bool | None = None,
    causes: bool = True,
) -> Report:
    """Compare any torch module, the reference, or its recording, with any Paddle layer, its port, in evaluation mode.

        report = compare_models(torch_module, paddle_layer, images)
        assert report, report.summary

    `images`: an array (N, ...), or `Arguments` where the networks take several, or several of these by name; floating
    values are rounded to float32 in both precisions. `pairs`: reference's path -> port's, or a finished pairing; by
    default by equal paths, else proposed (`parity.pairing`).
    `mode`: "free", "isolated" or "both".
    `dtypes`: float64 asks whether it is the same function, float32 whether its rounding is ordinary.
    `accept`: globs of paths or parameters whose gap (unpaired, uninfluential) is accepted. `only`, `skip`:
    globs of the reference's paths to compare. `fail_fast` stops at the first failure.
    `sink` is shown each output of the free passes: the probe, Paddle's tensor and torch's.
    `align_corners`: how the reference's logits are resized to the images where it does not do so itself, if that is
    known; a port that does it otherwise fails.
    `causes`: whether it is asked why guilty layers differ.

    Both models are left as they were. Raises ParityInputError for a wrong mapping, and whatever the models raise.
    """
    started = time.perf_counter()
    inputs = _named(images)
    ours, own = torch_modules(torch_module), paddle_modules(paddle_layer)
    pairing = pairs if isinstance(pairs, Pairing) else pair_modules(ours, own, pairs)
    theirs = join_projections(ours, own, pairing)
    matched = compare_weights(ours, theirs, pairing)
    known = draw_boundaries(pairing).accusable
    chosen = [path for path in ours if path in known and _chosen(path, only, skip)]
    _check_globs({"--only": only, "--skip": skip}, ours)

    def prepare(exact: nn.Module) -> None:
        """Bring the float64 copy of the reference to the numbers that the port has."""
        modules = torch_modules(exact)
        follow_weights(exact, theirs, matched)
        round_epsilons(modules)

    make_passes: Any = RecordedPasses if isinstance(torch_module, Recording) else Passes
    passes: Passes = make_passes(
        torch_module,
        paddle_layer,
        theirs,
        inputs,
        with_truth="float64" in dtypes,
        prepare=prepare,
        progress=progress,
        fail_fast=fail_fast,
    )
    first, *rest = [(dtype, each) for dtype in sorted(dtypes, reverse=True) for each in MODES[mode]]
    with ExitStack() as stack:
        stack.enter_context(passes.in_eval_mode())
        stack.enter_context(quiet_collector())
        return_freed_memory()
        uninfluential, dead = passes.find_uninfluential()
        return_freed_memory()
        passes.find_convention()
        doubts = Doubts(passes, pairing, ours)
        boundaries = doubts.draw()
        search = doubts.search(boundaries) if first == ("float64", "isolated") else None
        found = passes.compare(boundaries, chosen, [first], None if fail_fast else sink, search)
        is_whole = search is not None and len(chosen) == len(boundaries.accusable) and not fail_fast
        if found.failures or (search is not None and search.found):
            boundaries = doubts.settle(found if is_whole else None, search)
        witness = Witness()
        if found.failures:
            found = passes.compare(boundaries, chosen, [first], None if fail_fast else sink, witness=witness)
        if not (fail_fast and found.failures):
            found += passes.compare(boundaries, chosen, rest, sink)
        found = passes.judge_by_conditioning(found)
        agree = passes.outputs_agree() if any(layer.mode == "isolated" for layer in found.failing) else None
        paired = {path: pairing.pairs[path] for path in chosen if path in pairing.pairs}
        guilty = put_in_order([*find_guilty(found.layers), *compare_attributes_of(paired, ours, theirs)], found.layers)
        if guilty and causes and isinstance(passes, RecordedPasses):
            faults = list(witness.faults.values())
            guilty = RecordedReasons(passes.recording, faults, matched, theirs, passes.variant).find(guilty)
        elif guilty and causes:
            from parity.engine.reasons import Reasons

            seconds = time.perf_counter() - started
            guilty = Reasons(passes, witness, pairing, matched, ours, theirs, seconds).find(guilty)
        notes = (*passes.convention.sentences, *passes.notes, *doubts.notes)
        environment = describe_environment()  # with the switches that the passes had
    seen = {layer.path for layer in found.layers}
    elsewhere = doubts.redrawn | {boundaries.name(call.path) for call, key in boundaries.found.items() if key is None}
    coverage = Coverage(
        paired=tuple(path for path in chosen if path in seen),
        unpaired_reference=(*pairing.unpaired_reference, *found.leftover.values()),
        unpaired_port=(*pairing.unpaired_port, *found.unmatched.values()),
        uncovered=pairing.uncovered,
        ambiguous=pairing.ambiguous,
        uncalled=tuple(path for path in chosen if path not in seen | elsewhere and not fail_fast),
        redrawn=tuple(path for path in ours if path in elsewhere and path not in seen),
        uninfluential=uninfluential,
        accepted=tuple(accept),
        origin=pairing.origin,
    )
    return Report(
        layers=tuple(found.layers),
        coverage=coverage,
        guilty=tuple(guilty),
        problems=(
            *list_problems(coverage, found, dead, weights or {}),
            *train_apart(matched.untied, accept),
            *resized_otherwise(passes.convention, align_corners, found, accept),
        ),
        notes=notes,
        scalars=doubts.scalars.kept if doubts.scalars is not None else {},
        outputs_agree=agree,
        weights=weights or {},
        pairs=paired if pairing.origin != "path" else {},
        settings=settings or {},
        classes=tuple(found.classes),
        environment=environment,
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
                    port=layer.port,
                    stretch=layer.stretch,
                ),
            )
    return list(found.values())


def put_in_order(guilty: Sequence[Guilty], layers: Sequence[Layer]) -> list[Guilty]:
    """Each layer's first entry, in order of execution."""
    once = {(entry.path, entry.call): entry for entry in reversed(guilty)}
    order = {layer.path: number for number, layer in reversed(list(enumerate(layers)))}
    return sorted(once.values(), key=lambda entry: (order.get(entry.path, len(layers)), entry.call))


def compare_attributes_of(
    pairs: Mapping[str, str], ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> list[Guilty]:
    """The pairs that differ in what no output shows."""
    found = []
    for path, target in pairs.items():
        difference = find_difference(ours[path], theirs[target])
        if difference is not None:
            found.append(Guilty(path=path, call=0, dtype="", site=ATTRIBUTES_SITE, reason=difference.text, port=target))
    return found


def _check_globs(globs: Mapping[str, Sequence[str]], names: Iterable[str]) -> None:
    """Raise ParityInputError for a glob that no name matches: it would choose, or accept, nothing."""
    for option, patterns in globs.items():
        for pattern in patterns:
            if not any(fnmatch(name, pattern) for name in names):
                raise ParityInputError(f"{option} {pattern}: matches no layer of the reference")


def _named(images: Images) -> dict[str, Arguments]:
    if not isinstance(images, Mapping):
        images = {_shape_name(images): images}
    return {name: one if isinstance(one, Arguments) else Arguments((np.asarray(one),)) for name, one in images.items()}


def _shape_name(images: Input) -> str:
    tensors = images.tensors if isinstance(images, Arguments) else [images]
    return ", ".join("×".join(map(str, tensor.shape)) for tensor in tensors)


def _chosen(path: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    return (not only or any(fnmatch(path, glob) for glob in only)) and not any(fnmatch(path, glob) for glob in skip)
