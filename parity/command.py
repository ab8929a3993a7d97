"""From the options of `ccnet-parity` to a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter import Reading
from families import Preprocessing
from parity.engine.harness import compare_models
from parity.errors import ParityInputError
from parity.networks.inputs import DEFAULT_SIZES, make_images, read_image
from parity.networks.port import load_port, load_port_weights, naming_port
from parity.pairing.match import match_port, read_mapping
from parity.reports.dump import DumpWriter
from parity.reports.repro import export_repro
from parity.verdicts.report import Report
from twins.build import build_paddle, build_torch, set_paddle_device
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
    reading: Reading = field(default_factory=Reading)
    port: str | None = None
    port_weights: Path | None = None
    mapping: Path | None = None
    layer_by_layer: bool = False
    mode: str = "both"
    dtype: str = "both"
    input_size: tuple[int, int] | None = None
    image: Path | None = None
    recurrence: int | None = None
    seed: int = 0
    device: str = "cpu"
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    accept: Sequence[str] = ()
    fail_fast: bool = False
    bisect: bool = False
    dump: Path | None = None
    export_repro: Path | None = None
    report: Path | None = None
    progress: Progress = field(default=lambda phase: None)


def run(options: Options) -> Report:
    """Compare the twins, or a twin and a port, as asked; write what was asked to be written."""
    options = _completed(options)
    port = None if options.port is None else load_port(options.port)
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    options.progress("weights")
    weights = _weights(options)
    recurrences = (options.recurrence, weights.recurrence, DEFAULT_RECURRENCE)
    recurrence = next(value for value in recurrences if value is not None)
    inputs = make_inputs(
        weights.plan.family.preprocessing, input_size=options.input_size, image=options.image, seed=options.seed
    )
    set_paddle_device(options.device)
    torch_model = build_torch(weights, recurrence=recurrence, device=options.device)
    pairing, summary = None, weights.summary()
    if port is None:
        paddle_model = build_paddle(weights, recurrence=recurrence)
    else:
        paddle_model = port
        if options.port_weights is not None:
            load_port_weights(port, options.port_weights)
        pairing, found = match_port(torch_model, port, mapping)
        summary = {**summary, **found}
    with DumpWriter.open(options.dump) as writer, naming_port(options.port, "run"):
        report = compare_models(
            torch_model,
            paddle_model,
            inputs,
            pairs=pairing,
            mode=options.mode,
            dtypes=("float64", "float32") if options.dtype == "both" else (options.dtype,),
            accept=options.accept,
            only=options.only if options.layer_by_layer else OUTPUTS,
            skip=options.skip,
            fail_fast=options.fail_fast,
            weights=summary,
            settings={"recurrence": recurrence, "seed": options.seed, "port": options.port},
            progress=options.progress,
            sink=writer,
        )
    if options.export_repro is not None:
        export_repro(options.export_repro, report, torch_model, paddle_model, inputs, port=options.port)
    if options.report is not None:
        from parity.reports.html.render import write_report

        write_report(options.report, report, _attention(options, torch_model, paddle_model, inputs))
    return report


def _completed(options: Options) -> Options:
    """With what one option implies for others. Raises ParityInputError where two contradict."""
    if options.port is None and (options.port_weights or options.mapping):
        raise ParityInputError("--port-weights and --mapping belong to --port")
    if options.port is not None and options.target is not None:
        raise ParityInputError("give TARGET or --port, not both; a port's weights go to --port-weights")
    if options.bisect:
        options = replace(options, layer_by_layer=True, mode="isolated", dtype="float64", fail_fast=True)
    detailed = (options.port, options.dump, options.export_repro, options.report, options.only or None)
    if any(option is not None for option in detailed):
        options = replace(options, layer_by_layer=True)
    return options if options.layer_by_layer else replace(options, mode="free")


def _weights(options: Options) -> WeightPair:
    if options.source is None:
        return standin_pair(seed=options.seed, family=options.family or "official")
    if options.target is None:
        return read_source(options.source, family=options.family, reading=options.reading)
    return read_pair(options.source, options.target, family=options.family, reading=options.reading)


def _attention(options: Options, torch_model: Any, paddle_model: Any, inputs: dict[str, Any]) -> Any:
    """Attention maps of both twins on the first input; a port's attention is not known to have the parts."""
    if options.port is not None:
        return None
    from parity.reports.html.attention_maps import compute_attention_maps

    return compute_attention_maps(torch_model, paddle_model, next(iter(inputs.values())))


def make_inputs(
    preprocessing: Preprocessing, *, input_size: tuple[int, int] | None, image: Path | None, seed: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs by a name that says what they are: a picture, or random ones of the asked or default sizes."""
    if image is not None:
        pixels = read_image(image, preprocessing, size=input_size)
        return {f"{image.name} {_by(pixels.shape)}": pixels}
    batches = [make_images(size, seed=seed) for size in ([input_size] if input_size else DEFAULT_SIZES)]
    return {_by(images.shape): images for images in batches}


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
