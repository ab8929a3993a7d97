"""The options of `ccnet-parity`, and which of them contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from converter import Reading
from parity.errors import ParityInputError

Progress = Callable[[str], None]


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


def complete(options: Options) -> Options:
    """The options with what one implies for others. Raises ParityInputError where two contradict."""
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
