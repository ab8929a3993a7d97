"""From the options of `ccnet-parity` to a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from converter import Reading
from converter.errors import InputError
from families import Preprocessing, get_family
from parity.engine.follow import Sink
from parity.engine.harness import compare_models
from parity.environment.switches import without_tf32
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.files import describe_weights
from parity.networks.inputs import DEFAULT_SIZES, make_images, read_image, read_inputs
from parity.networks.modules import paddle_modules, torch_modules
from parity.networks.port import Port, build_config, build_port, load_port_weights
from parity.networks.recorded import Recording, open_recording
from parity.networks.reference import load_reference, load_reference_weights
from parity.networks.user import users_code
from parity.pairing.alternatives import list_alternatives
from parity.pairing.match import give_weights, match_port, read_mapping
from parity.pairing.propose import Pairing
from parity.reports.dump import DumpWriter
from parity.reports.junit import write_junit
from parity.reports.repro import export_repro
from parity.reports.reprod_log import FORWARD, ForwardLog, show_to, write_pair
from parity.verdicts.report import Report
from twins.build import build_paddle, build_torch, set_paddle_device, torch_device
from twins.lazy import nn
from twins.weights import WeightPair, read_pair, read_source, standin_pair

Progress = Callable[[str], None]

DEFAULT_RECURRENCE = 2
OUTPUTS = ("", "head", "auxiliary_head")
"""The network, and the modules whose outputs are its: logits and auxiliary logits, (N, K, h, w)."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `ccnet-parity` was asked for."""

    source: Path | None = None
    target: Path | None = None
    family: str | None = None
    reference: str | None = None
    reference_recording: Path | None = None
    reading: Reading = field(default_factory=Reading)
    port: str | None = None
    config: Path | None = None
    port_weights: Path | None = None
    mapping: Path | None = None
    layer_by_layer: bool = False
    mode: str | None = None
    dtype: str | None = None
    input_size: tuple[int, int] | None = None
    image: Path | None = None
    inputs: str | None = None
    recurrence: int | None = None
    abn_semantics: str | None = None
    seed: int = 0
    device: str = "cpu"
    keep_tf32: bool = False
    command: str = ""
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    accept: Sequence[str] = ()
    fail_fast: bool = False
    bisect: bool = False
    dump: Path | None = None
    export_repro: Path | None = None
    reprod_log: Path | None = None
    junit: Path | None = None
    report: Path | None = None
    progress: Progress = field(default=lambda phase: None)

    @property
    def has_port(self) -> bool:
        """Whether the Paddle side is the user's."""
        return self.port is not None or self.config is not None


@dataclass(frozen=True)
class Networks:
    """What is compared, whoever wrote it: both networks, which layer is which, and what is known of their weights.

    `pairing` is None where the twins' equal paths decide. `preprocessing` is that of the family, where there is one.
    """

    reference: Any
    port: Any
    pairing: Pairing | None
    summary: Mapping[str, Any]
    preprocessing: Preprocessing | None
    recurrence: int | None
    notes: tuple[str, ...] = ()
    scales: Mapping[str, Any] = field(default_factory=dict)
    """The source's own scales, with their signs, by the reference's names."""


def run(options: Options) -> Report:
    """Compare the twins, or a reference and a port, as asked; write what was asked to be written."""
    options = _completed(options)
    for folder in (options.report, options.reprod_log, None if options.junit is None else options.junit.parent):
        if folder is not None:
            from parity.reports.folder import try_folder

            try_folder(folder)
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    set_paddle_device(options.device)
    with without_tf32(options.device == "gpu" and not options.keep_tf32):
        return _run(options, mapping)


def _run(options: Options, mapping: Mapping[str, str] | None) -> Report:
    specs = {"--reference": options.reference, "--port": options.port}
    networks = build_networks(options, mapping)
    with users_code(specs, "make the inputs for"):
        inputs = _inputs_of(networks, options)
    log = None if options.reprod_log is None else ForwardLog()
    with DumpWriter.open(options.dump) as writer, users_code(specs, "run it"):
        networks, report = compare_networks(options, networks, inputs, writer, log)
    report = replace(report, files=_describe_files(options, networks))
    try:
        if options.export_repro is not None:
            own = {**specs, "--config": None if options.config is None else str(options.config)}
            with users_code(specs, "run it"):
                export_repro(options.export_repro, report, networks.reference, networks.port, inputs, specs=own)
        if options.junit is not None:
            write_junit(options.junit, report)
        if options.reprod_log is not None and log is not None:
            port, reference = log.outputs
            write_pair(options.reprod_log, FORWARD, port=port, reference=reference)
        if options.report is not None:
            from parity.reports.folder import write_report

            write_report(options.report, report, _attention(options, networks, inputs), command=options.command)
    except (OSError, InputError, ParityInputError) as error:
        raise UnwrittenError(str(error), report) from error
    return report


def compare_networks(
    options: Options,
    networks: Networks,
    inputs: Mapping[str, Arguments],
    writer: DumpWriter | None = None,
    log: ForwardLog | None = None,
) -> tuple[Networks, Report]:
    """The report, and the networks as they were compared: with another pairing, where that explains a guilty layer."""
    report = _compare(options, networks, inputs, show_to(writer, log))
    if report.guilty and networks.summary.get("copied"):
        other = _find_alternative(options, networks, inputs, report)
        if other is not None:
            networks, report = other, _compare(options, other, inputs, log)
    return networks, replace(report, notes=(*networks.notes, *report.notes))


def _compare(options: Options, networks: Networks, inputs: Mapping[str, Arguments], sink: Sink | None) -> Report:
    return compare_models(
        networks.reference,
        networks.port,
        inputs,
        pairs=networks.pairing,
        mode=options.mode or "both",
        dtypes=("float64", "float32") if options.dtype in (None, "both") else (options.dtype,),
        accept=options.accept,
        only=options.only if options.layer_by_layer else _outputs(networks.reference),
        skip=options.skip,
        fail_fast=options.fail_fast,
        weights=networks.summary,
        settings=_settings(options, networks),
        progress=options.progress,
        sink=sink,
        align_corners=None if networks.preprocessing is None else networks.preprocessing.align_corners,
    )


def _find_alternative(
    options: Options, networks: Networks, inputs: Mapping[str, Arguments], report: Report
) -> Networks | None:
    """The networks by another pairing, and with the weights by it, if less is accused then; else as they were."""
    assert networks.pairing is not None
    ours, theirs = torch_modules(networks.reference), paddle_modules(networks.port)
    smallest = min(inputs.items(), key=lambda item: sum(array.size for array in item[1].tensors))
    # A layer with parameters that is wrong by itself is so by any pairing of others.
    accused = {guilty.path for guilty in report.guilty if not (ours[guilty.path].is_leaf and ours[guilty.path].tensors)}
    for pairing in list_alternatives(ours, theirs, networks.pairing, accused):
        options.progress("another pairing")
        summary = give_weights(networks.reference, networks.port, pairing, networks.scales)
        found = compare_models(
            networks.reference,
            networks.port,
            dict([smallest]),
            pairs=pairing,
            mode="isolated",
            dtypes=["float64"],
            causes=False,
        )
        if {guilty.path for guilty in found.guilty} < {guilty.path for guilty in report.guilty}:
            return replace(networks, pairing=pairing, summary={**networks.summary, **summary})
    give_weights(networks.reference, networks.port, networks.pairing, networks.scales)
    return None


class UnwrittenError(ParityInputError):
    """What was asked for could not be written; the verdict, in `report`, is there all the same."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


def build_networks(options: Options, mapping: Mapping[str, str] | None) -> Networks:
    """Both networks, built and loaded as the options say.

    Raises ParityInputError or InputError for what does not fit.
    """
    made = build_users_port(options)
    if options.reference_recording is not None:
        assert made is not None
        return _with_recording(options.reference_recording, made, options, mapping)
    options.progress("weights")
    weights = None if options.reference is not None and made is not None else _weights(options)
    recurrences = (options.recurrence, None if weights is None else weights.recurrence, DEFAULT_RECURRENCE)
    recurrence = next(value for value in recurrences if value is not None)
    if options.reference is None:
        assert weights is not None
        reference = build_torch(weights, recurrence=recurrence, device=options.device)
    else:
        reference = load_reference(options.reference).to(torch_device(options.device))
        if options.source is not None:
            load_reference_weights(reference, options.source, options.reading)
    scales: Mapping[str, Any] = {}
    summary: dict[str, Any] = {} if weights is None or options.reference is not None else weights.summary()
    if made is None:
        assert weights is not None
        port, pairing = build_paddle(weights, recurrence=recurrence), None
        if options.reference is not None:
            pairing, summary = match_port(reference, port, mapping, given=True)
    else:
        port = made.layer
        if options.port_weights is not None:
            load_port_weights(port, options.port_weights)
        given = options.port_weights is not None or made.came_loaded
        scales = {} if weights is None or options.reference is not None else weights.source_scales()
        pairing, found = match_port(reference, port, mapping, given=given, scales=scales)
        summary = {**summary, **found}
    name = "" if options.source is None else options.source.name
    family = weights.plan.family.name if weights is not None else options.family
    return Networks(
        reference=reference,
        port=port,
        pairing=pairing,
        summary=summary,
        preprocessing=None if family is None else get_family(family).preprocessing_for(name),
        recurrence=recurrence if weights is not None else None,
        notes=() if made is None else made.notes,
        scales=scales,
    )


def _with_recording(folder: Path, made: Port, options: Options, mapping: Mapping[str, str] | None) -> Networks:
    """A port, and the reference as it was recorded on another machine."""
    recording = open_recording(folder, "reference")
    if not recording.is_whole:
        raise ParityInputError(f"{folder}: a recording of digests; isolated layers need one of --keep tensors")
    if options.port_weights is not None:
        load_port_weights(made.layer, options.port_weights)
    given = options.port_weights is not None or made.came_loaded
    pairing, summary = match_port(recording, made.layer, mapping, given=given)
    note = (
        f"the reference is a recording of {recording.name}: causes are looked for in what was recorded; where none is "
        f"found, run both in one process, ccnet-parity --reference {recording.name}"
    )
    notes = (*made.notes, note)
    return Networks(
        reference=recording,
        port=made.layer,
        pairing=pairing,
        summary=summary,
        preprocessing=None,
        recurrence=None,
        notes=notes,
    )


def build_users_port(options: Options) -> Port | None:
    """What --port or --config names; None where the Paddle side is the twin."""
    if options.port is not None:
        return build_port(options.port)
    return None if options.config is None else build_config(options.config)


def _describe_files(options: Options, networks: Networks) -> dict[str, dict[str, str]]:
    """Whose weights they were. A port that was given the reference's has no others."""
    own = options.reference or "the twin"
    port = options.port or (str(options.config) if options.config is not None else "the twin")
    sides = {"reference": (networks.reference, options.source, own)}
    if not networks.summary.get("copied"):
        sides["port"] = (networks.port, options.port_weights or options.target, port)
    return {side: describe_weights(*one) for side, one in sides.items()}


def _outputs(reference: nn.Module) -> list[str]:
    """Those of OUTPUTS that there are: a network may have no auxiliary head."""
    paths = {path for path, _ in reference.named_modules()}
    return [path for path in OUTPUTS if path in paths]


def _settings(options: Options, networks: Networks) -> dict[str, Any]:
    return {
        "recurrence": networks.recurrence,
        "seed": options.seed,
        "reference": networks.reference.name if isinstance(networks.reference, Recording) else options.reference,
        "port": options.port if options.config is None else str(options.config),
        "device": options.device,
    }


def _check_sides(options: Options) -> None:
    """Raise ParityInputError for options about the networks and their inputs that contradict each other."""
    if not options.has_port and (options.port_weights or (options.mapping and options.reference is None)):
        raise ParityInputError("--port-weights and --mapping belong to --port, --config or --reference")
    if options.port is not None and options.config is not None:
        raise ParityInputError("give --port or --config, not both")
    if options.has_port and options.target is not None:
        raise ParityInputError("give TARGET or --port, not both; a port's weights go to --port-weights")
    if options.reference is not None and not options.has_port and options.source is None:
        raise ParityInputError("--reference: give --port or --config, or a SOURCE for the Paddle twin")
    if sum(option is not None for option in (options.image, options.inputs)) > 1:
        raise ParityInputError("give --image or --inputs, not both")


def _completed(options: Options) -> Options:
    """With what one option implies for others. Raises ParityInputError where two contradict."""
    _check_sides(options)
    if options.reference_recording is not None:
        _check_recorded(options)
    if options.reprod_log is not None and (options.bisect or options.fail_fast or options.mode == "isolated"):
        raise ParityInputError("--reprod-log needs whole free passes: leave out --bisect, --fail-fast, --mode isolated")
    if options.bisect:
        options = replace(options, layer_by_layer=True, mode="isolated", dtype="float64", fail_fast=True)
    networks = (options.reference, options.reference_recording, options.port, options.config)
    detailed = (*networks, options.dump, options.export_repro, options.report)
    if options.only or any(option is not None for option in detailed):
        options = replace(options, layer_by_layer=True)
    if not options.layer_by_layer and options.mode not in (None, "free"):
        raise ParityInputError(f"--mode {options.mode} needs --layer-by-layer; outputs alone are compared free-running")
    return options if options.layer_by_layer else replace(options, mode="free")


def _check_recorded(options: Options) -> None:
    """Raise ParityInputError for options that contradict a recorded reference."""
    names = ("source", "target", "family", "reference", "input_size", "image", "inputs", "recurrence", "export_repro")
    written = {"source": "SOURCE", "target": "TARGET"}
    given = [written.get(name, f"--{name.replace('_', '-')}") for name in names if getattr(options, name) is not None]
    if given:
        raise ParityInputError(f"--reference-recording has network, weights and inputs: leave out {', '.join(given)}")
    if not options.has_port:
        raise ParityInputError("--reference-recording: give --port or --config, which it is compared with")


def _weights(options: Options) -> WeightPair:
    if options.source is None:
        return standin_pair(seed=options.seed, family=options.family or "official")
    if options.target is None:
        how = {"family": options.family, "abn_semantics": options.abn_semantics}
        return read_source(options.source, reading=options.reading, **how)
    return read_pair(options.source, options.target, family=options.family, reading=options.reading)


def _attention(options: Options, networks: Networks, inputs: Mapping[str, Arguments]) -> Any:
    """Attention maps of both twins on the first input; another network's attention is not known to have the parts."""
    if options.has_port or options.reference is not None:
        return None
    from parity.reports.html.attention_maps import compute_attention_maps

    (images,) = next(iter(inputs.values())).args
    return compute_attention_maps(networks.reference, networks.port, images)


def _inputs_of(networks: Networks, options: Options) -> dict[str, Arguments]:
    if isinstance(networks.reference, Recording):
        return dict(networks.reference.inputs)
    return make_inputs(options, networks.preprocessing)


def make_inputs(options: Options, preprocessing: Preprocessing | None) -> dict[str, Arguments]:
    """Inputs by a name that says what they are: a picture, the user's own, or random ones of the asked sizes."""
    if options.inputs is not None:
        return read_inputs(options.inputs)
    if options.image is not None:
        if preprocessing is None:
            raise ParityInputError("--image: say by --family whose preprocessing the networks expect")
        pixels = read_image(options.image, preprocessing, size=options.input_size)
        return {f"{options.image.name} {_by(pixels.shape)}": Arguments((pixels,))}
    sizes = [options.input_size] if options.input_size else DEFAULT_SIZES
    batches = [make_images(size, seed=options.seed) for size in sizes]
    return {_by(images.shape): Arguments((images,)) for images in batches}


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
