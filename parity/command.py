"""From the options of `ccnet-parity` to a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from converter.errors import InputError
from parity.build import Networks, build_networks, inputs_of
from parity.engine.call_order import order_by_calls, run_alone
from parity.engine.follow import Sink
from parity.engine.harness import compare_models
from parity.environment.switches import without_tf32
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.files import describe_weights
from parity.networks.inputs import running_on
from parity.networks.modules import paddle_modules, torch_modules
from parity.networks.recorded import Recording
from parity.networks.user import describe, is_users, users_code
from parity.options import Options, complete
from parity.pairing.alternatives import list_alternatives, pair_again
from parity.pairing.match import give_weights, read_mapping
from parity.pairing.propose import Pairing
from parity.reports.dump import DumpWriter
from parity.reports.junit import write_junit
from parity.reports.repro import export_repro
from parity.reports.reprod_log import FORWARD, ForwardLog, show_to, write_pair
from parity.verdicts.report import Report
from twins.build import set_paddle_device
from twins.lazy import nn

OUTPUTS = ("", "head", "auxiliary_head")
"""The network, and the modules whose outputs are its: logits and auxiliary logits, (N, K, h, w)."""


def run(options: Options) -> Report:
    """Compare the twins, or a reference and a port, as asked; write what was asked to be written."""
    options = complete(options)
    from parity.reports.folder import try_outputs

    try_outputs(options.report, options.reprod_log, junit=options.junit)
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    set_paddle_device(options.device)
    with without_tf32(options.device == "gpu" and not options.keep_tf32):
        return _run(options, mapping)


def _run(options: Options, mapping: Mapping[str, str] | None) -> Report:
    specs = {"--reference": options.reference, "--port": options.port}
    networks = build_networks(options, mapping)
    with users_code(specs, "make the inputs for"):
        inputs = inputs_of(networks, options)
    log = None if options.reprod_log is None else ForwardLog()
    with DumpWriter.open(options.dump) as writer, running_on(options.inputs), users_code(specs, "run it"):
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
    report, misfit = None, ""
    try:
        report = _compare(options, networks, inputs, show_to(writer, log))
    except Exception as error:  # of the port, given other layers' tensors; what else there is goes on
        alone = networks.reference, networks.port, inputs.values(), _dtypes(options)
        if not is_users(error) or not networks.summary.get("copied") or not run_alone(*alone):
            raise
        misfit = describe(error)
    if networks.summary.get("copied") and (report is None or report.guilty):
        other = _find_alternative(options, networks, inputs, report)
        if other is not None:
            networks, report = other, _compare(options, other, inputs, log)
    if report is None:
        raise ParityInputError(
            f"{options.port or options.config}: runs, but not where its layers are given the reference's tensors, so "
            f"that some are paired with another's counterpart: name counterparts by --mapping ({misfit})"
        )
    return networks, replace(report, notes=(*networks.notes, *report.notes))


def _compare(options: Options, networks: Networks, inputs: Mapping[str, Arguments], sink: Sink | None) -> Report:
    return compare_models(
        networks.reference,
        networks.port,
        inputs,
        pairs=networks.pairing,
        mode=options.mode or "both",
        dtypes=_dtypes(options),
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


def _dtypes(options: Options) -> tuple[str, ...]:
    return ("float64", "float32") if options.dtype in (None, "both") else (options.dtype,)


def _find_alternative(
    options: Options, networks: Networks, inputs: Mapping[str, Arguments], report: Report | None
) -> Networks | None:
    """The networks by another pairing, and with the weights by it, if less is accused then; else as they were.

    Without a report, the port cannot be run as it is paired.
    """
    smallest = min(inputs.items(), key=lambda item: sum(array.size for array in item[1].tensors))
    for pairing in _list_pairings(networks, smallest[1], report):
        options.progress("another pairing")
        summary = give_weights(networks.reference, networks.port, pairing, networks.scales)
        found = _compare_alone(networks, pairing, smallest)
        if found is not None and (report is None or _accused(found) < _accused(report)):
            return replace(networks, pairing=pairing, summary={**networks.summary, **summary})
    assert networks.pairing is not None
    give_weights(networks.reference, networks.port, networks.pairing, networks.scales)
    return None


def _compare_alone(networks: Networks, pairing: Pairing, named: tuple[str, Arguments]) -> Report | None:
    """Each layer by itself on one input; None where the port cannot be run on other layers' tensors."""
    try:
        return compare_models(
            networks.reference,
            networks.port,
            dict([named]),
            pairs=pairing,
            mode="isolated",
            dtypes=["float64"],
            causes=False,
        )
    except Exception as error:  # layers exchanged that get pictures of other sizes: no port runs so
        if not is_users(error):
            raise
        return None


def _accused(report: Report) -> set[str]:
    return {guilty.path for guilty in report.guilty}


def _list_pairings(networks: Networks, arguments: Arguments, report: Report | None) -> Iterator[Pairing]:
    """What the order of calls proposes, where it is another than that of registration; then layers exchanged."""
    assert networks.pairing is not None
    ours, theirs = torch_modules(networks.reference), paddle_modules(networks.port)
    if networks.pairing.origin == "proposal" and not isinstance(networks.reference, Recording):
        pairing = pair_again(*order_by_calls(networks.reference, networks.port, ours, theirs, arguments))
        if pairing.pairs != networks.pairing.pairs:
            yield pairing
    if report is not None:
        # A layer with parameters that is wrong by itself is so by any pairing of others.
        accused = {one.path for one in report.guilty if not (ours[one.path].is_leaf and ours[one.path].tensors)}
        yield from list_alternatives(ours, theirs, networks.pairing, accused)


class UnwrittenError(ParityInputError):
    """What was asked for could not be written; the verdict, in `report`, is there all the same."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


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


def _attention(options: Options, networks: Networks, inputs: Mapping[str, Arguments]) -> Any:
    """Attention maps of both twins on the first input; another network's attention is not known to have the parts."""
    if options.has_port or options.reference is not None:
        return None
    from parity.reports.html.attention_maps import compute_attention_maps

    (images,) = next(iter(inputs.values())).args
    return compute_attention_maps(networks.reference, networks.port, images)
