"""Running the catalogue: each entry on a fresh port, judged by the harness at its default settings."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from cityscapes.generate import make_dataset
from parity.certify.catalogue import GATES
from parity.certify.gate import run_gate
from parity.certify.subject import STANDIN_SIZE, Subject
from parity.engine.harness import compare_models
from parity.errors import ParityInputError
from parity.mutants.catalogue import CATALOGUE
from parity.mutants.mutant import Array, Mutant, Port
from parity.mutants.pipeline import PaddlePipeline, TorchPipeline
from parity.networks.inputs import DEFAULT_SIZES, make_images
from parity.networks.modules import torch_modules
from parity.verdicts.incumbents import CRITERIA, judge
from parity.verdicts.report import Layer, Report
from twins.build import build_paddle, build_torch
from twins.weights import standin_pair

RECURRENCE = 2
DEFAULT_DEPTH = 18
SMALLEST = (33, 49)
"""Of the pictures on which a part's networks train, (H, W)."""
DRAWS = 300
"""Augmented charts of an entry."""
Call = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one entry; true if it is what must be.

    `caught`: the comparison failed. `pinned`: it accused the guilty modules and calls, all of them and no
    other. `guilty` are those it accused; `causes` the names of why they differ, and `explained` whether each of
    them has a right one, or none where the entry has none. `incumbents` whether each other tool's criterion would
    have passed the float32 outputs, all of them, or empty where they were not compared.
    """

    mutant: Mutant
    theme: str
    caught: bool
    pinned: bool
    guilty: tuple[str, ...]
    sentence: str
    seconds: float
    causes: tuple[str, ...] = ()
    explained: bool = False
    incumbents: dict[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        if self.mutant.is_equivalent:
            return not self.caught
        return self.caught and self.pinned and self.explained

    def to_json(self) -> dict[str, Any]:
        """For `ccnet-parity mutants --json`; `expected` are the globs of the guilty modules."""
        return {
            "name": self.mutant.name,
            "theme": self.theme,
            "description": self.mutant.description,
            "equivalent": self.mutant.is_equivalent,
            "passed": bool(self),
            "caught": self.caught,
            "pinned": self.pinned,
            "expected": list(self.mutant.guilty),
            "guilty": list(self.guilty),
            "causes": list(self.causes),
            "explained": self.explained,
            "sentence": self.sentence,
            "incumbents": dict(self.incumbents),
            "seconds": self.seconds,
        }


def run_catalogue(
    *,
    depth: int = DEFAULT_DEPTH,
    names: Collection[str] = (),
    progress: Callable[[str], None] = lambda name: None,
    **settings: Any,
) -> list[Outcome]:
    """Run the entries called `names`, or all, on stand-in weights of `depth`; `settings` go to `compare_models`.

    Raises ParityInputError for a name that is not in the catalogue.
    """
    chosen = select(names)
    bench = Bench(depth)
    outcomes = []
    for theme, entry in chosen:
        progress(entry.name)
        outcomes.append(bench.run(entry, theme, **settings))
    return outcomes


def select(names: Collection[str] = ()) -> list[tuple[str, Mutant]]:
    """(theme, entry) of the entries called `names`, or of all; without PaddleSeg, of all but those in its configs.

    Raises ParityInputError for an unknown name.
    """
    entries = [(theme, entry) for theme, group in CATALOGUE.items() for entry in group]
    unknown = sorted(set(names) - {entry.name for _, entry in entries})
    if unknown:
        known = ", ".join(entry.name for _, entry in entries)
        raise ParityInputError(f"no mutant is called {', '.join(unknown)}; there are {known}")
    can = importlib.util.find_spec("paddleseg") is not None
    return [(theme, one) for theme, one in entries if (one.name in names if names else can or not one.needs_paddleseg)]


class Bench:
    """The torch twin, its inputs, and a fresh port for each entry."""

    def __init__(self, depth: int = DEFAULT_DEPTH, sizes: Sequence[tuple[int, int]] = DEFAULT_SIZES) -> None:
        self.weights = standin_pair(seed=0, depth=depth)
        self._images = {"×".join(map(str, size)): make_images(size, seed=0) for size in sizes}

    def run(self, entry: Mutant, theme: str = "", **settings: Any) -> Outcome:
        """Apply `entry` to a fresh port and compare it; `settings` go to `compare_models`."""
        if entry.is_of_training:
            return self.certify(entry, theme)
        start = time.perf_counter()
        port = self.port(pipeline=entry.pipeline)
        entry.apply(port)
        torch_model = self._torch_pipeline if entry.pipeline else self.torch
        verdicts: list[dict[str, bool]] = []

        def keep(layer: Layer, actual: Tensor, expected: Tensor) -> None:
            if layer.path == "" and layer.dtype == "float32":
                verdicts.append(judge(actual, expected))

        report = compare_models(torch_model, port.network, self.images(entry.pipeline), sink=keep, **settings)
        accused = find_accused(report)
        return Outcome(
            mutant=entry,
            theme=theme,
            caught=not report,
            pinned=is_pinned(entry, accused, torch_model),
            guilty=tuple(path if call == 0 else f"{path} #{call}" for path, call in sorted(accused)),
            sentence=report.summary,
            seconds=time.perf_counter() - start,
            causes=tuple(dict.fromkeys(one.cause.name for one in report.guilty if one.cause is not None)),
            explained=is_explained(entry, report),
            incumbents={name: all(verdict[name] for verdict in verdicts) for name in CRITERIA} if verdicts else {},
        )

    def certify(self, entry: Mutant, theme: str = "", *, gates: Collection[str] = ()) -> Outcome:
        """Run the gates up to the one that must catch `entry`, or those called `gates`, until one fails."""
        start = time.perf_counter()
        chosen = gates or entry.gates or list(GATES)[: list(GATES).index(entry.gate) + 1]
        with TemporaryDirectory() as folder:
            subject = self._subject(entry, Path(folder))
            outcomes = (run_gate(GATES[name], subject) for name in chosen)
            failed = next((outcome for outcome in outcomes if not outcome), None)
        cause = None if failed is None else failed.cause
        return Outcome(
            mutant=entry,
            theme=theme,
            caught=failed is not None and (failed.verdict == "failed" or entry.is_equivalent),
            pinned=failed is not None and failed.name == entry.gate,
            guilty=() if failed is None else (failed.name,),
            sentence="" if failed is None else failed.reason,
            seconds=time.perf_counter() - start,
            causes=(cause.name,) if cause else (),
            explained=cause.name in entry.causes if cause else not entry.causes,
        )

    def _subject(self, entry: Mutant, folder: Path) -> Subject:
        common: dict[str, Any] = {"weights": self.weights, "recurrence": RECURRENCE, "folder": folder, "steps": 5}
        if entry.options is None:
            return Subject(**common, edit=entry.apply)
        subject = Subject(**common, size=SMALLEST, cityscapes=self._dataset, **entry.options(folder))
        loader = subject.port_kit["loader"].run
        if loader is not None:
            loader.most = DRAWS
        return subject

    @cached_property
    def _dataset(self) -> Path:
        """A small data set for all entries, as long as the bench is there."""
        self._folder = TemporaryDirectory()
        root = Path(self._folder.name) / "data"
        make_dataset(root, counts={"train": 4, "val": 2}, size=STANDIN_SIZE, seed=0)
        return root

    def port(self, *, pipeline: bool = False) -> Port:
        """The Paddle twin, freshly built and loaded."""
        network = build_paddle(self.weights, recurrence=RECURRENCE)
        return Port(PaddlePipeline(network) if pipeline else network, self._source)

    def images(self, pipeline: bool = False) -> dict[str, Array]:
        """The command's default inputs; a pipeline is fed pixels around the middle grey."""
        if not pipeline:
            return self._images
        return {name: 127.5 + 50.0 * images for name, images in self._images.items()}

    @cached_property
    def torch(self) -> nn.Module:
        """The torch twin."""
        return build_torch(self.weights, recurrence=RECURRENCE, device="cpu")

    @cached_property
    def _torch_pipeline(self) -> nn.Module:
        return TorchPipeline(self.torch)

    @cached_property
    def _source(self) -> dict[str, Array]:
        from twins.standin import make_state_dict

        state = make_state_dict(seed=0, depth=self.weights.plan.depth)
        return {name: state[step.source] for step, name in self.weights.plan.transfers}


def find_accused(report: Report) -> set[Call]:
    """The (torch path, call) that `report` finds guilty, or else the outermost whose call has no counterpart."""
    guilty = {(guilty.path, guilty.call) for guilty in report.guilty}
    if guilty:
        return guilty
    calls = [name.rpartition(" #") for name in report.coverage.unpaired_reference if " #" in name]
    missing = {(path, int(call)) for path, _, call in calls}
    paths = {path for path, _ in missing}
    return {(path, call) for path, call in missing if not any(path.startswith(f"{outer}.") for outer in paths)}


def is_explained(entry: Mutant, report: Report) -> bool:
    """Whether each layer that `report` finds guilty has one of the entry's causes; none, where the entry has none."""
    found = [guilty.cause and guilty.cause.name for guilty in report.guilty]
    return all(name in entry.causes for name in found) if entry.causes else not any(found)


def is_pinned(entry: Mutant, accused: Collection[Call], torch_model: nn.Module) -> bool:
    """Whether `accused` are the modules that `entry` makes guilty, all and only those, in its calls.

    Never, if one of its globs matches no module.
    """
    paths = list(torch_modules(torch_model))
    expected = [{path for path in paths if fnmatch(path, glob)} for glob in entry.guilty]
    found = {path for path, _ in accused}
    calls = {call for _, call in accused}
    return all(expected) and found == set().union(*expected) and (not entry.calls or calls == set(entry.calls))
