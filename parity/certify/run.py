"""From the options of `ccnet-parity certify` to a certificate."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cityscapes.errors import DatasetError
from cityscapes.layout import check_root
from converter import InputError, Reading
from converter.files.atomic import make_folder, temporary_folder
from families import get_family
from parity.build import DEFAULT_RECURRENCE
from parity.certify.catalogue import GATES
from parity.certify.certificate import FILE, Certificate, describe_file, write_certificate
from parity.certify.gate import Outcome, not_asked_for, not_run, run_gate
from parity.certify.hand_in import GATES_OF
from parity.certify.memory import PARTIAL, Memory
from parity.certify.provenance import list_sources, sign
from parity.certify.subject import Subject
from parity.environment.describe import describe_environment
from parity.errors import ParityInputError
from parity.networks.user import describe, users_names
from parity.pairing.match import read_mapping
from twins.build import set_paddle_device
from twins.weights import WeightPair, read_pair, read_source, standin_pair

SMALLEST = 18
"""Depth of the stand-in weights whose family alone is asked for."""
TIMES = {18: 1.0, 50: 3.0, 101: 5.0}
"""How much longer a gate takes at this depth than at the smallest."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `ccnet-parity certify` was asked for."""

    source: Path | None = None
    target: Path | None = None
    family: str | None = None
    reference: str | None = None
    reading: Reading = field(default_factory=Reading)
    port: str | None = None
    config: Path | None = None
    port_weights: Path | None = None
    mapping: Path | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    reference_parts: Mapping[str, str] = field(default_factory=dict)
    loss_recipe: str | None = None
    cityscapes: Path | None = None
    recurrence: int | None = None
    depth: int = 101
    steps: int = 20
    seed: int = 0
    device: str = "cpu"
    gates: Sequence[str] = ()
    skip: Sequence[str] = ()
    report: Path = Path()
    sign: Path | None = None
    keep_arrays: bool = False
    progress: Callable[[str], None] = field(default=lambda phase: None)
    on_outcome: Callable[[Outcome], None] = field(default=lambda outcome: None)

    @property
    def has_users_code(self) -> bool:
        """Whether code takes part that may change between two runs."""
        return bool(self.has_port or self.reference or self.parts or self.reference_parts)

    @property
    def has_port(self) -> bool:
        """Whether the Paddle side is the user's."""
        return self.port is not None or self.config is not None


def certify(options: Options) -> Certificate:
    """Run the chosen gates, writing each outcome as it comes, and the certificate into `options.report`."""
    chosen = choose(options.gates, options.skip)
    if options.cityscapes is not None:
        check_root(options.cityscapes)
    options.progress("weights")
    weights = _weights(options)
    recurrences = (options.recurrence, weights.recurrence, DEFAULT_RECURRENCE)
    recurrence = next(value for value in recurrences if value is not None)
    set_paddle_device(options.device)
    try:
        make_folder(options.report)
    except OSError as error:
        raise ParityInputError(f"{options.report}: cannot make the folder: {error.strerror}") from error
    described = _describe(options, weights, recurrence)
    settings = {"steps": options.steps, "seed": options.seed, "device": options.device, "cityscapes": _root(options)}
    memory = Memory(options.report / PARTIAL, {**described, **settings}, lasting=not options.has_users_code)
    with temporary_folder() as folder:
        subject = Subject(
            weights=weights,
            recurrence=recurrence,
            folder=folder,
            seed=options.seed,
            device=options.device,
            steps=options.steps,
            cityscapes=options.cityscapes,
            reference=options.reference,
            source=options.source if options.reference is not None else None,
            port=options.port,
            config=options.config,
            port_weights=options.port_weights,
            parts=options.parts,
            reference_parts=options.reference_parts,
            loss_recipe=options.loss_recipe,
            mapping=None if options.mapping is None else read_mapping(options.mapping),
        )
        if options.loss_recipe not in (None, *subject.recipe.losses):
            published = " and ".join(subject.recipe.losses)
            raise ParityInputError(f"--recipe {options.loss_recipe}: {subject.family} is published with {published}")
        check_parts(subject)
        outcomes = []
        for name in GATES:
            place = chosen.index(name) + 1 if name in chosen else 0
            subject.progress = _within(options.progress, f"gate {place} of {len(chosen)}, {name}")
            outcomes.append(_outcome(name, place > 0, subject, memory, options))
        described["notes"] = _notes(subject, chosen)
        described["sources"] = list_sources(_specs(subject), options.config)
    environment = {**describe_environment(), "device": options.device}
    certificate = Certificate(subject=described, outcomes=outcomes, settings=settings, environment=environment)
    write_report(options.report, certificate)
    if options.sign is not None:
        sign(options.report / FILE, options.sign)
    memory.forget()
    return certificate


def check_parts(subject: Subject) -> None:
    """Find every function and config before the first gate runs: what is not there is bad input, no finding."""
    with users_names(_specs(subject)):
        subject.code_of(())
        if subject.config is not None:
            subject.make_port(loaded=False)


def estimate_minutes(chosen: Sequence[str], depth: int) -> int:
    """About how long these gates take on two cores, at least a minute."""
    seconds = sum(GATES[name].seconds for name in chosen) * TIMES[depth]
    return max(1, round(seconds / 60))


def _within(progress: Callable[[str], None], gate: str) -> Callable[[str], None]:
    """Phases of a gate, told with its place."""
    return lambda phase: progress(f"{gate}: {phase}" if phase else gate)


def _specs(subject: Subject) -> list[str]:
    """The functions of the user's that take part."""
    named = (subject.reference, subject.port, *subject.parts.values(), *subject.reference_parts.values())
    return [spec for spec in named if spec is not None]


def _notes(subject: Subject, chosen: Sequence[str]) -> list[str]:
    """What was done to the port, and which recipe it was held against; nothing where it could not even be built, which
    the gates say."""
    try:
        with users_names(_specs(subject)):
            held = {"loss", "training"} & {*chosen} and subject.gives("loss")
            own = subject.reference_kit["loss"].run is not None
            return [*subject.notes, *([subject.chosen_recipe] if held and not own else [])]
    except Exception:  # noqa: BLE001 - whatever the user's code raises
        return []


def choose(gates: Sequence[str], skip: Sequence[str]) -> list[str]:
    """Names of the gates to run. Raises ParityInputError for a name that there is not."""
    unknown = sorted({*gates, *skip} - GATES.keys())
    if unknown:
        raise ParityInputError(f"no gate is called {', '.join(unknown)}; there are {', '.join(GATES)}")
    return [name for name in GATES if (not gates or name in gates) and name not in skip]


def write_report(folder: Path, certificate: Certificate) -> None:
    """`certificate.json`, its page, what is handed in with a pull request, and every difference."""
    from parity.reports.alignment.subject import describe_certificate
    from parity.reports.differences import write_differences
    from parity.reports.folder import write_alignments
    from parity.reports.html.certificate import write_page

    content = certificate.to_json()
    write_certificate(folder / FILE, content)
    write_page(folder, content)
    write_alignments(folder, describe_certificate(content))
    write_differences(folder, content)


def _outcome(name: str, wanted: bool, subject: Subject, memory: Memory, options: Options) -> Outcome:
    if not wanted:
        outcome = not_asked_for(name)
    else:
        subject.progress("")
        forgotten = options.keep_arrays and name in GATES_OF.values()
        known = None if forgotten else memory.recall(name)
        outcome = _run(name, subject) if known is None else known
        memory.keep(outcome)
    options.on_outcome(outcome)
    return outcome


def _run(name: str, subject: Subject) -> Outcome:
    """The gate's outcome. What a gate raises is why it could not run, not the command's end."""
    try:
        with users_names(_specs(subject)):
            return run_gate(GATES[name], subject)
    except DatasetError as error:
        return not_run(name, str(error))
    except (InputError, ParityInputError):
        raise
    except Exception as error:  # noqa: BLE001 - one gate's fault must not hide the others' findings
        return not_run(name, f"raises {describe(error)}")
    finally:
        gc.collect()  # networks whose forward was replaced hold themselves: of full size, gigabytes


def _weights(options: Options) -> WeightPair:
    if options.port is not None and options.config is not None:
        raise ParityInputError("give --port or --config, not both")
    if options.has_port and options.target is not None:
        raise ParityInputError(
            "give TARGET or else --port or --config, not both; a port's weights go to --port-weights"
        )
    if not options.has_port and (options.port_weights or options.mapping or options.reference):
        raise ParityInputError("--port-weights, --mapping and --reference belong to --port or --config")
    if options.source is None or options.reference is not None:
        family = options.family or "official"
        if not _known_family(family).architecture.heads:
            raise ParityInputError(f"family {family} is a backbone: there is nothing to train or evaluate")
        depth = options.depth if options.reference is None else SMALLEST
        return standin_pair(seed=options.seed, family=family, depth=depth)
    if options.target is None:
        weights = read_source(options.source, family=options.family, reading=options.reading)
    else:
        weights = read_pair(options.source, options.target, family=options.family, reading=options.reading)
    if not weights.plan.family.architecture.heads:
        raise ParityInputError(f"{options.source}: a backbone only: there is nothing to train or evaluate")
    if not weights.plan.auxiliary:
        raise ParityInputError(
            f"{options.source}: without the auxiliary head, whose loss training needs; ccnet-parity compares it"
        )
    return weights


def _known_family(name: str) -> Any:
    """`get_family`. Raises ParityInputError for an unknown name."""
    try:
        return get_family(name)
    except ValueError as error:
        raise ParityInputError(str(error)) from None


def _describe(options: Options, weights: WeightPair, recurrence: int) -> dict[str, Any]:
    target = options.port_weights if options.has_port else options.target
    files = {
        "source": describe_file(options.source, _digest(weights.torch)),
        "target": describe_file(target, _digest(weights.paddle)),
    }
    if options.has_port and target is None:
        files["target"] = {"name": options.port or str(options.config), "sha256": None}
    plan = weights.plan
    return {
        **files,
        "family": plan.family.name,
        "recurrence": recurrence,
        "depth": plan.depth,
        "num_classes": plan.num_classes,
        "port": options.port,
        "config": None if options.config is None else str(options.config),
        "reference": options.reference,
        "parts": {"port": dict(options.parts), "reference": dict(options.reference_parts)},
    }


def _digest(tensors: Any) -> str:
    """SHA-256 over names and values, of weights that are in no file."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].tobytes())
    return total.hexdigest()


def _root(options: Options) -> str | None:
    return None if options.cityscapes is None else str(options.cityscapes)
