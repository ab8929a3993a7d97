"""From options to what is compared: both networks, their weights, and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from families import Preprocessing, get_family
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.inputs import DEFAULT_SIZES, make_images, read_image, read_inputs
from parity.networks.port import Port, build_config, build_port, load_port_weights
from parity.networks.recorded import Recording, open_recording
from parity.networks.reference import load_reference, load_reference_weights
from parity.options import Options
from parity.pairing.match import match_port
from parity.pairing.propose import Pairing
from twins.build import build_paddle, build_torch, torch_device
from twins.weights import WeightPair, read_pair, read_source, standin_pair

DEFAULT_RECURRENCE = 2


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


def _weights(options: Options) -> WeightPair:
    if options.source is None:
        return standin_pair(seed=options.seed, family=options.family or "official")
    if options.target is None:
        how = {"family": options.family, "abn_semantics": options.abn_semantics}
        return read_source(options.source, reading=options.reading, **how)
    return read_pair(options.source, options.target, family=options.family, reading=options.reading)


def inputs_of(networks: Networks, options: Options) -> dict[str, Arguments]:
    """The recorded inputs, where the reference is a recording, or those that the options say."""
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
