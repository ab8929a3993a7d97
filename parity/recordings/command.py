"""From the options of `ccnet-parity record` to a recording."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from converter import Reading
from parity.build import make_inputs
from parity.engine.record import ReferenceRecorder, record_port
from parity.engine.writing import check_recording_folder
from parity.environment.switches import without_tf32
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.port import build_port, load_port_weights
from parity.networks.recorded import open_recording
from parity.networks.reference import load_reference, load_reference_weights
from parity.networks.user import users_code
from parity.options import Options as ComparisonOptions
from parity.pairing.match import match_port
from twins.build import set_paddle_device, torch_device


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `ccnet-parity record` was asked for."""

    out: Path
    source: Path | None = None
    reference: str | None = None
    port: str | None = None
    port_weights: Path | None = None
    reference_recording: Path | None = None
    reading: Reading = field(default_factory=Reading)
    keep: str = "tensors"
    input_size: tuple[int, int] | None = None
    inputs: str | None = None
    seed: int = 0
    device: str = "cpu"
    keep_tf32: bool = False
    progress: Callable[[str], None] = field(default=lambda phase: None)
    say: Callable[[str], None] = field(default=lambda sentence: None)


def run(options: Options) -> None:
    """Record the reference or the port. Raises ParityInputError or InputError for what does not fit."""
    if (options.reference is None) == (options.port is None):
        raise ParityInputError("record: give --reference or --port, one of the two")
    if options.port is not None and options.source is not None:
        raise ParityInputError("record: SOURCE belongs to --reference; a port's weights go to --port-weights")
    if options.reference is not None and options.port_weights is not None:
        raise ParityInputError("record: --port-weights belongs to --port; the reference's weights are SOURCE")
    if options.reference is not None and options.reference_recording is not None:
        raise ParityInputError(
            "record: --reference-recording belongs to --port, which takes inputs and weights from it"
        )
    if options.reference_recording is not None and (options.inputs is not None or options.input_size is not None):
        raise ParityInputError("record: --reference-recording has the inputs: leave out --inputs and --input-size")
    check_recording_folder(options.out)
    read = options.reference_recording
    if read is not None and read.exists() and options.out.exists() and options.out.samefile(read):
        raise ParityInputError(f"{options.out}: is the recorded reference; name a new folder")
    if options.reference is not None:
        _record_reference(options, options.reference)
    elif options.port is not None:
        _record_port(options, options.port)


def _record_reference(options: Options, spec: str) -> None:
    module = load_reference(spec).to(torch_device(options.device))
    if options.source is not None:
        load_reference_weights(module, options.source, options.reading)
    inputs = _make_inputs(options, {"--reference": spec})
    recorder = ReferenceRecorder(module, inputs, options.progress)
    with _forbidding_tf32(options), users_code({"--reference": spec}, "run it"):
        recorder.record(options.out, keep=options.keep, name=spec, weights=options.source, say=options.say)


def _record_port(options: Options, spec: str) -> None:
    set_paddle_device(options.device)
    made = build_port(spec)
    if options.port_weights is not None:
        load_port_weights(made.layer, options.port_weights)
    loaded = options.port_weights is not None or made.came_loaded
    if options.reference_recording is None:
        inputs = _make_inputs(options, {"--port": spec})
    else:
        recording = open_recording(options.reference_recording, "reference")
        inputs = recording.inputs
        loaded |= bool(match_port(recording, made.layer, None, given=loaded)[1]["copied"])
    with _forbidding_tf32(options), users_code({"--port": spec}, "run it"):
        record_port(
            made.layer,
            inputs,
            options.out,
            keep=options.keep,
            name=spec,
            weights=options.port_weights,
            loaded=loaded,
            say=options.say,
            progress=options.progress,
        )


def _forbidding_tf32(options: Options) -> AbstractContextManager[None]:
    return without_tf32(options.device == "gpu" and not options.keep_tf32)


def _make_inputs(options: Options, specs: dict[str, str | None]) -> dict[str, Arguments]:
    asked = ComparisonOptions(input_size=options.input_size, inputs=options.inputs, seed=options.seed)
    with users_code(specs, "make the inputs for"):
        return make_inputs(asked, None)
