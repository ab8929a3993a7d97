"""`ccnet-parity` and its subcommands `compare` and `mutants`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ccnet_cli.common import (
    PathType,
    command_line,
    family_option,
    json_option,
    parse_size,
    phases,
    reading_options,
    reports_errors,
)

junit_option = click.option("--junit", type=PathType, metavar="FILE", help="Write the comparison as JUnit XML here.")


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity --layer-by-layer\n"
    "  ccnet-parity official.pth out.pdparams --recurrence 2\n"
    "  ccnet-parity official.pth out.pdparams --layer-by-layer --report report/\n"
    "  ccnet-parity official.pth out.pdparams --image street.png --input-size 513,1025\n"
    "  ccnet-parity official.pth --port my_package.my_ccnet:build --port-weights my.pdparams\n"
    "  ccnet-parity official.pth --reference networks/ccnet.py:build --port my_ccnet.py:build\n"
    "  ccnet-parity paddleseg.pdparams --config ccnet.yml --port-weights paddleseg.pdparams\n"
    "\n\b\nOther forms, each with its own --help:\n"
    "  ccnet-parity compare DIR_A DIR_B    two dumps, even of two machines\n"
    "  ccnet-parity record                 one network, where the other's framework is not\n"
    "  ccnet-parity mutants                the proof that the harness can fail\n"
    "  ccnet-parity certify [SOURCE TARGET]  every alignment point, and a certificate\n"
    "  ccnet-parity verify CERTIFICATE     whether a certificate speaks of a file\n"
    "  ccnet-parity doctor                 whether this installation can compare\n"
    "\n\nExit code: 0 agreement, 1 the frameworks disagree, 2 bad input."
)
@click.argument("source", type=PathType, required=False)
@click.argument("target", type=PathType, required=False)
@click.option("--layer-by-layer", is_flag=True, help="Compare every layer, not only the network's outputs.")
@click.option(
    "--mode",
    type=click.Choice(["free", "isolated", "both"]),
    help="Compare layers as they come, each from the reference's input, or both. [default: both]",
)
@click.option(
    "--dtype", type=click.Choice(["float64", "float32", "both"]), help="Precisions to compare in. [default: both]"
)
@click.option(
    "--input-size", callback=parse_size, metavar="H[,W]", help="One input of this size instead of the default ones."
)
@click.option("--image", type=PathType, help="A picture as input, preprocessed as the family says.")
@click.option(
    "--inputs",
    metavar="FILE.npz|MODULE:FUNCTION",
    help="Your own inputs, one or several: arrays of numbers, passed by name where both networks know the name.",
)
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention. [default: TARGET's or 2]")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the inputs and the stand-in weights."
)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--keep-tf32", is_flag=True, help="On a GPU, keep TF32 as the frameworks have it. [default: off]")
@click.option(
    "--reference",
    metavar="MODULE:FUNCTION",
    help="Hold the port against this torch module of yours. SOURCE, if given, is loaded into it under its own keys.",
)
@click.option(
    "--reference-recording",
    type=PathType,
    metavar="DIR",
    help="Hold the port against what `record --reference` wrote, torch or not.",
)
@click.option("--port", metavar="MODULE:FUNCTION", help="Compare this port: a function that returns a Paddle layer.")
@click.option("--config", type=PathType, metavar="YML", help="Compare the model that a PaddleSeg config builds.")
@click.option("--port-weights", type=PathType, help="The port's weights (.pdparams), by its own names.")
@click.option("--mapping", type=PathType, help="JSON object of the reference's path to the port's path.")
@click.option("--accept", multiple=True, metavar="GLOB", help="Accept the gaps of these layers or parameters.")
@click.option("--only", multiple=True, metavar="GLOB", help="Compare only these layers.")
@click.option("--skip", multiple=True, metavar="GLOB", help="Do not compare these layers.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--bisect", is_flag=True, help="Stop at the first guilty layer, in float64: one pass, for large inputs.")
@click.option("--dump", type=PathType, metavar="DIR", help="Write every layer's output here.")
@click.option("--export-repro", type=PathType, metavar="DIR", help="Write the guilty layer alone, with a script.")
@junit_option
@click.option(
    "--reprod-log",
    type=PathType,
    metavar="DIR",
    help="Write the outputs here as the reproduction guide asks: forward_*.npy and forward_diff.log.",
)
@click.option("--report", type=PathType, metavar="DIR", help="Write report.json, report.html and ALIGNMENT.md here.")
@family_option
@reading_options
@json_option
@reports_errors()
def parity(as_json: bool, **options: Any) -> None:
    """Compare the torch twin with SOURCE's weights and the Paddle twin with TARGET's, in float32 and float64.

    Without files, stand-in weights are made and converted. No checkpoint contains its recurrence: unless
    given here or when TARGET was converted, it is 2. With --port or --config, TARGET is left out; with
    --reference, both networks may be anything, and no family is needed. A function is named as
    package.module:function or path/file.py:function.
    """
    from parity.command import UnwrittenError, run
    from parity.options import Options

    own = any(options[name] is not None for name in ("reference", "port", "config", "reference_recording"))
    if (options["source"] is None) != (options["target"] is None) and not own:
        raise click.UsageError("give SOURCE and TARGET, or neither")
    try:
        with phases() as progress:
            report = run(Options(progress=progress, command=command_line(), **options))
    except UnwrittenError as error:
        _print(error.report, as_json=as_json)
        raise
    _finish(report, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity compare port/ reference/\n"
    "  ccnet-parity compare dump/paddle dump/torch\n"
    "\n\nExit code: as ccnet-parity."
)
@click.argument("actual", type=PathType)
@click.argument("expected", type=PathType)
@click.option("--mapping", type=PathType, help="JSON object of the reference's path to the port's path.")
@click.option("--accept", multiple=True, metavar="GLOB", help="Accept the gaps of these layers or parameters.")
@click.option("--report", type=PathType, metavar="DIR", help="Write report.json, report.html and ALIGNMENT.md here.")
@junit_option
@json_option
@reports_errors()
def compare(
    actual: Path,
    expected: Path,
    mapping: Path | None,
    accept: tuple[str, ...],
    report: Path | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Compare the port's recording or dump ACTUAL with the reference's, EXPECTED.

    Recordings are what `ccnet-parity record` writes, dumps what --dump does. A recording has inputs and weights too, so
    that guilty layers are named. --report writes what ccnet-parity --report writes.
    """
    from parity.networks.recorded import INDEX
    from parity.pairing.match import read_mapping
    from parity.recordings.compare import compare_recordings
    from parity.reports.dump import compare_dumps
    from parity.reports.folder import try_outputs, write_report
    from parity.reports.junit import write_junit

    try_outputs(report, junit=junit)
    recorded = [folder for folder in (actual, expected) if (folder / INDEX).exists()]
    if (mapping is not None or accept) and not recorded:
        raise click.UsageError("--mapping and --accept are for recordings; dumps have the reference's names")
    pairs = None if mapping is None else read_mapping(mapping)
    found = compare_recordings(actual, expected, pairs, accept) if recorded else compare_dumps(actual, expected)
    if report is not None:
        write_report(report, found, command=command_line())
    if junit is not None:
        write_junit(junit, found)
    _finish(found, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity mutants\n"
    "  ccnet-parity mutants missing-diagonal-mask --depth 101\n"
    "\n\nExit code: 0 every mistake was caught in its layer and every equivalent was silent, 1 otherwise."
)
@click.argument("names", nargs=-1)
@click.option(
    "--depth", type=click.Choice(["18", "50", "101"]), default="18", show_default=True, help="Depth of the twins."
)
@json_option
@reports_errors()
def mutants(names: tuple[str, ...], depth: str, as_json: bool) -> None:
    """Make deliberate mistakes in the Paddle twin, one at a time, and see each caught and pinned to its layer.

    Equivalent rewrites, which must raise no alarm, follow. NAMES choose entries; all by default.
    """
    from parity.mutants.run import run_catalogue
    from parity.mutants.tables import print_outcomes

    with phases() as progress:
        outcomes = run_catalogue(depth=int(depth), names=names, progress=progress)
    if as_json:
        click.echo(json.dumps([outcome.to_json() for outcome in outcomes]))
    else:
        print_outcomes(outcomes)
    sys.exit(0 if all(outcomes) else 1)


def _print(report: Any, *, as_json: bool) -> None:
    from parity.reports.tables import print_report

    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        print_report(report)


def _finish(report: Any, *, as_json: bool) -> None:
    _print(report, as_json=as_json)
    sys.exit(0 if report else 1)
