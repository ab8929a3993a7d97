"""From the options of `ccnet-eval` to a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from cityscapes.agreement import measure_noise
from cityscapes.distributed import Group, find_group
from cityscapes.errors import DatasetError, EvaluationError
from cityscapes.evaluate import Task, evaluate, load_image
from cityscapes.folders import make_folder
from cityscapes.labels import IGNORED
from cityscapes.layout import Sample, decode, list_samples, picture_size
from cityscapes.networks import TorchNetwork
from cityscapes.predict import Views
from cityscapes.progress import Display, show_progress
from cityscapes.protocols import FAMILY_PROTOCOLS, Protocol, is_padded, protocol_for
from cityscapes.result import Result
from cityscapes.state import State
from cityscapes.totals import Totals
from cityscapes.weights import Port, Weights, read_weights
from converter import Reading

CITYSCAPES_VAL = 500
"""Images."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `ccnet-eval` was asked for."""

    root: Path
    torch: Path | None = None
    paddle: Path | None = None
    port: Port | None = None
    family: str | None = None
    reading: Reading = field(default_factory=Reading)
    protocol: str | None = None
    split: str = "val"
    whole: bool = False
    slide: int | None = None
    overlap: Fraction | None = None
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    padding: bool = True
    recurrence: int | None = None
    limit: int | None = None
    workers: int = 2
    device: str = "cpu"
    save_predictions: Path | None = None
    report: Path | None = None
    resume: bool = False


def run(options: Options) -> tuple[Result, Group]:
    """Evaluate as asked, write what was asked to be written, and say which process of the group this is."""
    if options.whole and options.slide is not None:
        raise DatasetError("--whole and --slide exclude each other")
    group = find_group()
    samples = list_samples(options.root, options.split)[: options.limit]
    _check_labels(samples[0], options.split)
    for folder in filter(None, (options.save_predictions, options.report)):
        make_folder(folder)  # before the work, not after it
    with show_progress(enabled=group.leads) as display:
        display.begin("reading weights")
        weights = read_weights(
            options.torch,
            options.paddle,
            family=options.family,
            recurrence=options.recurrence,
            reading=options.reading,
            port=options.port,
        )
        protocol = choose_protocol(options, weights)
        settings = _settings(options, weights, protocol)
        state = State({**settings, **_identity(options, protocol, samples, group)})
        task = Task(
            networks=weights.build(options.device, local_rank=group.local_rank),
            protocol=protocol,
            views=Views(tuple(options.scales), options.flip),
            save_predictions=options.save_predictions,
            pictures=options.report is not None,
        )
        totals = state.load() if options.resume else None
        if totals is None:
            display.begin("measuring rounding noise")
            totals = Totals.empty(tuple(task.networks), _noise(task, samples[0]))
        _evaluate(task, group.share(samples), totals, state, display, options.workers)
        totals = group.sum(totals)
    state.remove()
    published = weights.published(multi_scale=not task.views.plain)
    notes = _notes(options, weights, protocol, samples)
    if published and (options.split, totals.images) != ("val", CITYSCAPES_VAL):
        notes.append(f"published figures are of the {CITYSCAPES_VAL} images of Cityscapes val")
    result = Result(totals=totals, protocol=protocol.name, published=published, settings=settings, notes=tuple(notes))
    if options.report is not None and group.leads:
        from cityscapes.html.render import write_report

        write_report(options.report, result)
    return result, group


def choose_protocol(options: Options, weights: Weights) -> Protocol:
    """The asked or the family's own protocol, with what the options say otherwise. Raises DatasetError."""
    protocol = protocol_for(weights.family, name=options.protocol, file_name=weights.file_name)
    if options.whole or options.slide is not None:
        protocol = replace(protocol, window=options.slide)
    if options.overlap is not None:
        if protocol.window is None:
            raise DatasetError("--overlap belongs to --slide")
        protocol = replace(protocol, overlap=options.overlap)
    return protocol if options.padding else replace(protocol, padded_size=None)


def _evaluate(
    task: Task, share: list[tuple[int, Sample]], totals: Totals, state: State, display: Display, workers: int
) -> None:
    """Count this process's share; if interrupted, leave the state behind."""
    display.begin("evaluating", total=len(share), done=totals.images)

    def after(totals: Totals) -> None:
        state.update(totals)
        display.advance(totals)

    try:
        evaluate(task, share, totals, workers=workers, after=after)
    except KeyboardInterrupt:
        state.save()
        raise EvaluationError(
            f"interrupted after {totals.images} of {len(share)} images; the same command with --resume goes on there"
        ) from None
    except Exception:  # whatever it was: what is counted so far is kept, and the error goes on
        state.save()
        raise


def _noise(task: Task, sample: Sample) -> float | None:
    """On the split's first picture, whichever part of the split is this process's."""
    network = task.networks.get("torch")
    if not isinstance(network, TorchNetwork) or len(task.networks) == 1:
        return None
    return measure_noise(network, load_image(decode(sample), task.protocol), task.protocol, task.views)


def _check_labels(sample: Sample, split: str) -> None:
    """The archives have files for the test split, but nothing is labelled in them."""
    if (decode(sample).label == IGNORED).all():
        raise DatasetError(
            f"{sample.label}: has no evaluated pixel"
            + ("; the labels of the test split are not public, evaluate --split val" if split == "test" else "")
        )


def _settings(options: Options, weights: Weights, protocol: Protocol) -> dict[str, Any]:
    return {
        "split": options.split,
        "family": weights.family,
        "recurrence": weights.recurrence,
        "window": protocol.window,
        "overlap": None if protocol.window is None else str(protocol.overlap),
        "padded_size": protocol.padded_size,
        "align_corners": protocol.preprocessing.align_corners,
        "scales": list(options.scales),
        "flip": options.flip,
        "weights": weights.digests,
        "device": options.device,
        "port": None if options.port is None else options.port.name,
    }


def _identity(options: Options, protocol: Protocol, samples: list[Sample], group: Group) -> dict[str, Any]:
    """What else a saved state must share with the evaluation that takes it up."""
    return {
        "protocol": protocol.name,
        "reading": {**asdict(options.reading), "ignore": list(options.reading.ignore)},
        "root": str(options.root.resolve()),
        "samples": [sample.name for sample in samples],
        "process": [group.rank, group.size],
        "predictions": str(options.save_predictions),
        "pictures": options.report is not None,
    }


def _notes(options: Options, weights: Weights, protocol: Protocol, samples: list[Sample]) -> list[str]:
    notes = list(weights.pair.notes)
    if options.port is not None:
        notes.append(f"the port is {options.port.name} with {options.port.weights}")
    notes += _name_padding(samples, protocol)
    if weights.pair.recurrence is None and options.recurrence is None:
        notes.append(f"no file says how often attention is passed; {weights.recurrence} was taken, see --recurrence")
    own = FAMILY_PROTOCOLS[weights.family]
    if protocol.name != own.name:
        notes.append(f"protocol {protocol.name} is not {weights.family}'s own, {own.name}")
    return notes


def _name_padding(samples: list[Sample], protocol: Protocol) -> list[str]:
    """A note, if pictures are smaller than the protocol's size."""
    if protocol.padded_size is None:
        return []
    sizes = [size for size in map(picture_size, samples) if size is not None and is_padded(size, protocol)]
    if not sizes:
        return []
    smallest, full = (" × ".join(map(str, size)) for size in (min(sizes), protocol.padded_size))
    count = "one picture was" if len(sizes) == 1 else f"{len(sizes)} pictures were"
    return [
        f"{count} extended to {full} by zeros, as protocol {protocol.name} has it (the smallest is {smallest}); "
        "--no-padding leaves that out"
    ]
