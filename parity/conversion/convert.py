"""From a checkpoint to a file of weights for a port of the user's, verified, with a manifest for the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import ConverterError, InputError
from converter.files import check_readable, file_digest
from converter.files.atomic import check_writable, staged
from converter.files.write import FORMATS, read_tensors, write_tensors
from converter.manifest import Manifest, describe_file, manifest_path, write_manifest
from converter.names import count, summarize
from converter.target import check_target
from parity.build import Networks, build_networks, build_users_port, make_inputs
from parity.command import compare_networks
from parity.conversion.source import Source, read_source
from parity.conversion.transfers import Exchange, list_transfers
from parity.errors import ParityInputError
from parity.networks.inputs import running_on
from parity.networks.reference import load_reference
from parity.networks.user import users_code
from parity.options import Options
from parity.pairing.match import give_weights, read_mapping
from parity.verdicts.report import Report
from twins.build import set_paddle_device

Array = np.ndarray[Any, Any]
ENDINGS = (".pdparams", ".safetensors")
CONSTANT = "a constant that the reference makes itself"
OWN_CONSTANT = "the port's own constant, which the reference does not have"


@dataclass(frozen=True)
class PortConversion:
    """What was done, or would be; `report` is the comparison with the reference, None where none was asked for."""

    manifest: Manifest
    reason: str
    pairing: str
    report: Report | None

    def __bool__(self) -> bool:
        """Whether the port computes what the reference does, as far as was asked."""
        return self.report is None or bool(self.report)

    def to_json(self) -> dict[str, Any]:
        """The manifest, why the source is what it is, how the layers were paired, and the comparison."""
        check = None if self.report is None else self.report.to_json()
        return {**asdict(self.manifest), "reason": self.reason, "pairing": self.pairing, "check": check}


def convert_for_port(
    options: Options, target: Path, *, check: bool = False, dry_run: bool = False, force: bool = False
) -> PortConversion:
    """Give the port of `options` the weights of its source, by the harness's pairing, and write its state dict.

    Every tensor of both sides is used once, or nothing is written: of the source, but for counters of batches and
    constants of the reference; of the port, but for its own constants. With `check`, the port is compared with the
    reference first, layer by layer, and not written unless it agrees: see the result's truth. What is written is read
    back, compared bit for bit, and loaded strictly into a newly built port before it takes its name.
    Raises InputError or ParityInputError for what cannot be converted, ConverterError if the result is not right.

        options = Options(source=Path("official.pth"), port="my_ccnet.py:build")
        convert_for_port(options, Path("mine.pdparams"), check=True)
    """
    assert options.source is not None
    _check_files(options.source, target, force=force)
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    set_paddle_device(options.device)
    networks = _give_weights(options, build_networks(options, mapping))
    report = None
    if check:
        options.progress("comparing")
        specs = {"--reference": options.reference, "--port": options.port}
        with running_on(options.inputs), users_code(specs, "run it"):
            networks, report = compare_networks(options, networks, make_inputs(options, networks.preprocessing))
    options.progress("planning")
    source = read_source(options, networks.reference)
    source.manifest.port = str(options.config) if options.port is None else options.port
    exchange = _plan(options, networks, source)
    state = _read_state(networks.port)
    _record(source, exchange, state)
    source.manifest.source = describe_file(options.source.name, options.source, file_digest(options.source))
    assert networks.pairing is not None
    conversion = PortConversion(source.manifest, source.reason, networks.pairing.origin, report)
    if conversion and not dry_run:
        _write(options, target, source.manifest, exchange, state, force=force)
    return conversion


def _check_files(source: Path, target: Path, *, force: bool) -> None:
    check_readable(source)
    if target.suffix not in ENDINGS:
        raise InputError(f"{target}: a port's weights go into a .pdparams or .safetensors; name such a target")
    check_target(source, target, force=force)
    manifest = manifest_path(target)
    if manifest.exists() and manifest.resolve() == manifest_path(source).resolve():
        raise InputError(f"{target}: its manifest would replace the source's; choose another name")
    check_writable(manifest, force=force)


def _give_weights(options: Options, networks: Networks) -> Networks:
    """Whatever weights the port came with, it has the reference's now."""
    assert networks.pairing is not None
    half = [name for name, tensor in networks.port.state_dict().items() if "bfloat16" in str(tensor.dtype)]
    if half:
        raise ParityInputError(
            f"{options.port or options.config}: has {count(len(half), 'tensor')} of bfloat16, which a file would round "
            f"({summarize(half)}); build it in float32"
        )
    summary = give_weights(networks.reference, networks.port, networks.pairing, networks.scales)
    return replace(networks, summary={**networks.summary, **summary})


def _plan(options: Options, networks: Networks, source: Source) -> Exchange:
    assert networks.pairing is not None
    assert options.source is not None
    exchange = list_transfers(networks.reference, networks.port, networks.pairing, source.tensors, source.keys)
    problems = exchange.problems(options.source.name)
    if problems:
        listed = "; ".join(f"{len(names)} {what}: {summarize(names)}" for what, names in problems.items())
        raise ParityInputError(
            f"{source.manifest.port}: not every tensor has its counterpart: {listed}; {_way_on(options, exchange)}; "
            "nothing was written"
        )
    if exchange.constants:
        assert options.reference is not None
        fresh = {name: tensor.cpu().numpy() for name, tensor in load_reference(options.reference).state_dict().items()}
        _check_constants(options.reference, exchange.constants, source.tensors, fresh)
    return exchange


def _way_on(options: Options, exchange: Exchange) -> str:
    if options.reading.without_auxiliary and exchange.empty:
        return "for a port with an auxiliary head, leave --without-auxiliary out"
    if options.reference is None and exchange.lost and not exchange.empty:
        return "--without-auxiliary is for a port without the auxiliary head, --ignore GLOB leaves other keys out"
    return "name the counterparts of layers in --mapping"


def _check_constants(spec: str, names: Sequence[str], tensors: Mapping[str, Array], fresh: Mapping[str, Array]) -> None:
    others = [name for name in names if name not in fresh or tensors[name].tobytes() != fresh[name].tobytes()]
    if others:
        raise ParityInputError(
            f"{spec}: {count(len(others), 'buffer', ' has', ' have')} no counterpart on the other side, and not the "
            f"value of a newly built network: {summarize(others)}; nothing was written"
        )


def _record(source: Source, exchange: Exchange, state: Mapping[str, Array]) -> None:
    """Into the manifest: every transfer, and what goes nowhere."""
    manifest = source.manifest
    for way in exchange.transfers:
        tensor, target = source.tensors[way.source], state[way.target]
        part = tensor if way.rows is None else tensor[slice(*way.rows)]
        more: dict[str, Any] = {} if way.rows is None else {"rows": list(way.rows)}
        if way.operation == "copy" and part.shape != target.shape:
            more["source_shape"] = list(part.shape)
        manifest.add_tensor(way.source, way.target, way.operation, part, target, **more)
    for key in exchange.constants:
        manifest.drop(key, source.tensors[key], CONSTANT)
    manifest.notes += [f"{name}: {OWN_CONSTANT}" for name in exchange.own]
    manifest.dtype = ", ".join(sorted({entry["dtype"] for entry in manifest.tensors}))


def _write(
    options: Options, target: Path, manifest: Manifest, exchange: Exchange, state: Mapping[str, Array], *, force: bool
) -> None:
    with staged(target, manifest_path(target), replace=force) as (path, beside):
        options.progress("writing")
        write_tensors(path, FORMATS[target.suffix], state.items())
        options.progress("reading back")
        written = read_tensors(path, FORMATS[target.suffix])
        if not _same(written, state):
            raise ConverterError(f"{target}: differs from the port's weights after reading back; try another disk")
        options.progress("loading into a new port")
        _load_anew(options, exchange, written)
        manifest.target = describe_file(target.name, path, file_digest(path))
        write_manifest(beside, manifest)
        options.progress("moving into place")


def _load_anew(options: Options, exchange: Exchange, written: Mapping[str, Array]) -> None:
    from models_paddle import load_weights

    made = build_users_port(options)
    assert made is not None
    spec, port = str(options.port or options.config), made.layer
    _check_constants(spec, exchange.own, written, _read_state(port))
    try:
        load_weights(port, dict(written))
    except ValueError as error:
        raise ConverterError(f"{spec}: built anew, it does not take its own weights: {error}") from None
    if not _same(_read_state(port), written):
        raise ConverterError(f"{spec}: built anew and loaded, its tensors are not those of the file")


def _read_state(port: Any) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in port.state_dict().items()}


def _same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    return one.keys() == other.keys() and all(
        (array.dtype, array.shape, array.tobytes()) == (other[name].dtype, other[name].shape, other[name].tobytes())
        for name, array in one.items()
    )
