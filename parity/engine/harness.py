"""`compare_models`: two networks, layer by layer, in two modes and two precisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from typing import Any

import numpy as np

from converter.names import count
from parity.causes.settings import find_difference
from parity.engine.boundaries import (
    Boundaries,
    Call,
    Failure,
    TooMany,
    Trialled,
    draw_boundaries,
    find_redrawn,
    find_suspects,
)
from parity.engine.conventions import Convention
from parity.engine.follow import Sink
from parity.engine.memory import quiet_collector, return_freed_memory
from parity.engine.passes import Findings, Passes, failure
from parity.engine.recorded import RecordedPasses
from parity.engine.recorded_reasons import RecordedReasons
from parity.engine.scalars import GREATEST, Scalars, round_epsilons
from parity.engine.search import Search
from parity.engine.stream import Key
from parity.engine.witness import Witness
from parity.environment.describe import describe_environment
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.modules import ModuleInfo, is_users_own, paddle_modules, torch_modules
from parity.networks.recorded import Recording
from parity.pairing.attention import join_projections
from parity.pairing.match import compare_weights, follow_weights
from parity.pairing.propose import Pairing, pair_modules
from parity.verdicts.incumbents import CRITERIA
from parity.verdicts.report import ATTRIBUTES_SITE, OUTPUT_SITE, Coverage, Guilty, Layer, Report
from twins.lazy import nn

Array = np.ndarray[Any, Any]
Input = Array | Arguments
Images = Input | Mapping[str, Input]

MOST_ISOLATED = 10
"""Isolated passes that an unusual port may cost more than a plain one."""
SPENT = (
    f"the search for what the port draws elsewhere was cut short after {MOST_ISOLATED} passes: name pairs by --mapping"
)
GROSS = 1e-3
"""Of the RMS: no number that is slightly off makes a layer differ by as much."""
RESIZE = "align_corners"
"""How logits are resized, as a gap that may be accepted."""
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
        doubts = _Doubts(passes, pairing, ours)
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
            *_problems(coverage, found, dead, weights or {}),
            *_train_apart(matched.untied, accept),
            *_resized_otherwise(passes.convention, align_corners, found, accept),
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


class _Doubts:
    """What may be no mistake although it fails: a boundary drawn elsewhere, a scalar written otherwise.

    `redrawn` are the reference's paths whose pairs were given up, `notes` say which scalars stand for others.
    """

    def __init__(self, passes: Passes, pairing: Pairing, ours: Mapping[str, ModuleInfo]) -> None:
        self._passes, self._pairing = passes, pairing
        self._loose = _find_loose(pairing.pairs, ours, passes.theirs)
        self._opaque = _find_opaque(draw_boundaries(pairing), ours, passes.theirs)
        self.scalars: Scalars | None = None
        self.redrawn: set[str] = set()
        self._unexplained: set[Failure] = set()
        self._left = MOST_ISOLATED

    @property
    def notes(self) -> tuple[str, ...]:
        spent = () if self._left >= 0 else (SPENT,)
        return (*(() if self.scalars is None else self.scalars.notes), *spent)

    def draw(self, given_up: Collection[str] = (), exits: Mapping[Call, Key | None] | None = None) -> Boundaries:
        """The boundaries without some pairs, and with some exits elsewhere."""
        return draw_boundaries(self._pairing, given_up, exits, self._opaque)

    def search(self, boundaries: Boundaries) -> Search:
        """For a pass that looks for outputs elsewhere."""
        modules = self._passes.exact_modules
        self.scalars = self.scalars or Scalars(modules, self._passes.constants)
        return Search(modules, self._passes.theirs, boundaries, self.scalars, self._passes.convention.exchange)

    def settle(self, found: Findings | None, search: Search | None) -> Boundaries:
        """The boundaries as the port draws them.

        `found` is what an isolated float64 pass over all pairs found with `search`; without one, it is run.
        """
        boundaries = self.draw()
        if found is None or search is None:
            search = self.search(boundaries)
            found = self._passes.isolate(boundaries, search)
        exits = dict(search.found)
        try:
            found = self._write_out(found, exits)
            self._write_out(self._give_up_redrawn(found, exits), exits)
        except TooMany:
            pass
        return self.draw(self.redrawn, exits)

    def _write_out(self, found: Findings, exits: Mapping[Call, Key | None]) -> Findings:
        """Write scalars otherwise where something is off by as little as they make of it; what is found then.

        This comes before pairs are given up, which is cheap only where the outputs agree, and after it for what it
        uncovers.
        """
        scalars, slight = self.scalars, _find_slight(found)
        assert scalars is not None
        if slight <= self._unexplained:
            return found
        tried = [found]

        def count() -> int:
            tried.append(self._isolate(self.redrawn, exits))
            return len(_find_slight(tried[-1]))

        self._passes.write_out(scalars, count, len(slight))
        best = min(tried, key=lambda one: len(_find_slight(one)))
        self._unexplained = _find_slight(best)
        return best

    def _isolate(self, given_up: Collection[str], exits: Mapping[Call, Key | None]) -> Findings:
        """Raises TooMany after MOST_ISOLATED."""
        self._left -= 1
        if self._left < 0:
            raise TooMany
        return self._passes.isolate(self.draw(given_up, exits))

    def _give_up_redrawn(self, found: Findings, exits: dict[Call, Key | None]) -> Findings:
        """Note the pairs that the port draws elsewhere in `redrawn`; what is found without them.

        `exits` gains the calls of layers whose outputs are compared at the next layer's input.
        """
        gross = self._find_gross(found)
        if not gross and not find_suspects(found.failures, self._loose):
            return found
        agree = self._passes.outputs_agree()
        found = self._without_gross(found, exits, ()) if agree else found
        known: dict[frozenset[str], Findings] = {frozenset(): found}

        def trial(given_up: Collection[str]) -> Trialled:
            found = known[frozenset(given_up)] = self._isolate(given_up, exits)
            return found.trialled

        self.redrawn = find_redrawn(trial, self._pairing.pairs, self._loose, found.trialled, agree=agree)
        found = known.get(frozenset(self.redrawn), found)
        return self._without_gross(found, exits, self.redrawn) if agree and self.redrawn else found

    def _without_gross(self, found: Findings, exits: dict[Call, Key | None], given_up: Collection[str]) -> Findings:
        """What is found where outputs that are something quite else are compared at the next layer's input, if that is
        all right; `exits` gains their calls then."""
        gross = dict.fromkeys(self._find_gross(found))
        if gross:
            without = self._isolate(given_up, exits | gross)
            if without.failures <= found.failures and not without.trialled.misshapen:
                exits |= gross
                return without
        return found

    def _find_gross(self, found: Findings) -> list[Call]:
        """Calls of layers with parameters that give something quite else: where outputs agree, they end elsewhere."""
        return [
            Call(layer.port, layer.call)
            for layer in found.failing
            if layer.site == OUTPUT_SITE
            and layer.path not in self._loose
            and layer.port
            and layer.comparison.relative >= GROSS
        ]


def _find_slight(found: Findings) -> set[Failure]:
    """What fails by no more than a scalar that is the same in float32 can make of it."""
    return {failure(layer) for layer in found.failing if layer.comparison.relative <= GREATEST}


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


def _problems(coverage: Coverage, found: Findings, dead: Sequence[str], weights: Mapping[str, Any]) -> Iterator[str]:
    def open_gaps(names: Sequence[str]) -> list[str]:
        return [n for n in names if not any(fnmatch(n.partition(" #")[0], glob) for glob in coverage.accepted)]

    if weights.get("different"):
        different = weights["different"]
        more = f", … {len(different) - 3} more" if len(different) > 3 else ""
        differ = count(len(different), "weight", " differs", " differ")
        yield f"{differ} from the source's after conversion: {', '.join(different[:3])}{more}"
    if not found.layers:
        yield "nothing was compared"
    gaps = (
        (tuple(found.leftover.values()), "call", "calls", "that only the reference makes"),
        (tuple(found.unmatched.values()), "call", "calls", "that only the port makes"),
        (coverage.uncovered, "layer or parameter", "layers or parameters", "with no counterpart"),
        (coverage.ambiguous, "layer", "layers", "with several counterparts of equal weights"),
        (
            dead,
            "parameter that influences no output, so that a mistake in it",
            "parameters that influence no output, so that a mistake in them",
            "is invisible",
        ),
    )
    for names, one, several, what in gaps:
        remaining = open_gaps(names)
        if remaining:
            more = f" and {len(remaining) - 3} more" if len(remaining) > 3 else ""
            noun = one if len(remaining) == 1 else several
            yield f"{len(remaining)} {noun} {what}: {', '.join(remaining[:3])}{more}; accept by name with --accept"


def _check_globs(globs: Mapping[str, Sequence[str]], names: Iterable[str]) -> None:
    """Raise ParityInputError for a glob that no name matches: it would choose, or accept, nothing."""
    for option, patterns in globs.items():
        for pattern in patterns:
            if not any(fnmatch(name, pattern) for name in names):
                raise ParityInputError(f"{option} {pattern}: matches no layer of the reference")


def _train_apart(untied: Sequence[str], accept: Sequence[str]) -> Iterator[str]:
    for names in untied:
        if not any(fnmatch(name, glob) for glob in accept for name in names.split(" and ")[:2]):
            yield f"{names}: equal now, they train apart"


def _resized_otherwise(
    convention: Convention, known: bool | None, findings: Findings, accept: Sequence[str]
) -> Iterator[str]:
    """Of outputs that differ, it cannot be told how they were resized."""
    found = convention.align_corners
    if known is None or found in (None, known) or convention.resized != "port":
        return
    if any(not layer.path for layer in findings.failing):
        return
    if not any(fnmatch(RESIZE, glob) for glob in accept):
        yield (
            f"the port resizes its logits to the images with align_corners {str(found).lower()}, the reference's "
            f"evaluation with {str(known).lower()}: change it in the port, or --accept {RESIZE}"
        )


def _find_loose(
    pairs: Mapping[str, str], ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> dict[str, bool]:
    """The pairs that need not correspond, in whatever way a port is written, and whether one has own parameters."""
    found = {}
    for path, target in pairs.items():
        owning = [info for info in (ours[path], theirs[target]) if info.tensors]
        if path and not any(info.is_leaf for info in owning):
            found[path] = bool(owning)
    return found


def _find_opaque(
    boundaries: Boundaries, ours: Mapping[str, ModuleInfo], theirs: Mapping[str, ModuleInfo]
) -> frozenset[str]:
    """The port's layers with parameters of which one side is of a class of the user's own, or has an activation."""
    found = set()
    for target, path in boundaries.exits.items():
        pair = ours[path], theirs[target]
        if all(info.is_leaf and info.tensors for info in pair) and any(is_users_own(info.module) for info in pair):
            found.add(target)
    return frozenset(found)


def _named(images: Images) -> dict[str, Arguments]:
    if not isinstance(images, Mapping):
        images = {_shape_name(images): images}
    return {name: one if isinstance(one, Arguments) else Arguments((np.asarray(one),)) for name, one in images.items()}


def _shape_name(images: Input) -> str:
    tensors = images.tensors if isinstance(images, Arguments) else [images]
    return ", ".join("×".join(map(str, tensor.shape)) for tensor in tensors)


def _chosen(path: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    return (not only or any(fnmatch(path, glob) for glob in only)) and not any(fnmatch(path, glob) for glob in skip)
