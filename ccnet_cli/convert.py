"""`ccnet-convert`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

import converter
from ccnet_cli.common import PathType, family_option, json_option, phases, reading_options, reports_errors
from ccnet_cli.convert_port import convert_back, convert_for_port
from converter.back import is_of_no_family

NETWORK = ("port", "config", "mapping", "reference", "inputs", "check")
"""Options that belong to a network of the user's."""


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-convert official.pth out.pdparams --recurrence 2\n"
    "  ccnet-convert official.pth out.pdparams --dry-run\n"
    "  ccnet-convert out.pdparams back.pth\n"
    "  ccnet-convert paddleseg.pdparams out.safetensors\n"
    "  ccnet-convert training.pth out.pdparams --weights-entry state_dict_ema --ignore 'distill.*'\n"
    "  ccnet-convert official.pth mine.pdparams --port my_ccnet.py:build --check\n"
    "  ccnet-convert mine.pdparams back.pth\n"
    "  ccnet-convert --inspect official.pth\n"
    "  ccnet-convert --diff official.pth out.pdparams\n"
    "\n\nExit code: 0 success, 1 the conversion failed, two files differ or a hash is wrong, 2 bad input."
)
@click.argument("source", type=PathType)
@click.argument("target", type=PathType, required=False)
@click.option("--inspect", is_flag=True, help="Say what SOURCE is and holds; convert nothing.")
@click.option("--diff", is_flag=True, help="Compare SOURCE and TARGET under canonical names; convert nothing.")
@family_option
@reading_options
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention, for the manifest.")
@click.option(
    "--to", "keys", metavar="NAME", help="Keys of TARGET: canonical, or the family's own. [default: by TARGET's ending]"
)
@click.option(
    "--dtype",
    type=click.Choice(converter.TARGET_DTYPES),
    help="Dtype of the target. [default: float32; keep for a family's own keys]",
)
@click.option(
    "--abn-semantics",
    type=click.Choice(["plain", "fold"]),
    help="Take scales as they are, or as InPlaceABN's |weight| + 1e-5. [default: the family's]",
)
@click.option("--align-corners/--no-align-corners", default=None, help="How logits are resized, for the manifest.")
@click.option("--port", metavar="MODULE:FUNCTION", help="Convert for this port of yours, under its own names.")
@click.option("--config", type=PathType, metavar="YML", help="Convert for the model that a PaddleSeg config builds.")
@click.option("--mapping", type=PathType, help="JSON object of the reference's path to the port's path.")
@click.option(
    "--reference", metavar="MODULE:FUNCTION", help="SOURCE is of this torch module of yours, under its own keys."
)
@click.option("--inputs", metavar="FILE.npz|MODULE:FUNCTION", help="Inputs of --check. [default: random pictures]")
@click.option("--check", is_flag=True, help="Compare the port with the reference, and write only if they agree.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@json_option
@reports_errors("interrupted; every file is whole, as it was before or new")
def convert(
    source: Path,
    target: Path | None,
    inspect: bool,
    diff: bool,
    family: str | None,
    reading: converter.Reading,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert the checkpoint SOURCE to TARGET, both .pth, .pdparams or .safetensors, in either direction.

    A .pdparams is for the Paddle twin, with a manifest beside it. From there, a .pth or .safetensors is the
    checkpoint it came from, in the reference implementation's own keys. The written file is read back,
    compared bit for bit with the plan and held to its twin's structure before it takes its name.

    With --port or --config, TARGET gets the names of your own port: a function that returns a Paddle layer, named
    as package.module:function or path/file.py:function. Its layers are paired with the reference's as ccnet-parity
    does it; every tensor of both sides is used once, or nothing is written.
    """
    network = {name: options.pop(name) for name in NETWORK}
    if inspect and (diff or target is not None):
        raise click.UsageError("--inspect takes one file and goes without --diff")
    if (inspect or diff) and any(network.values()):
        raise click.UsageError("--inspect and --diff read files alone, and take no network")
    if inspect:
        sys.exit(_inspect(source, as_json, family=family, reading=reading))
    if target is None:
        raise click.UsageError("Missing argument 'TARGET'.")
    if diff:
        sys.exit(_diff(source, target, as_json, family=family, reading=reading))
    options |= {"family": family, "reading": reading}
    if network["port"] is not None or network["config"] is not None:
        sys.exit(convert_for_port(source, target, as_json, **network, **options))
    if network.pop("check") or any(value is not None for value in network.values()):
        raise click.UsageError("--mapping, --reference, --inputs and --check belong to --port or --config")
    if is_of_no_family(source):
        convert_back(source, target, as_json, **options)
    else:
        _convert(source, target, as_json, **options)


def _convert(source: Path, target: Path, as_json: bool, **options: Any) -> None:
    from converter.tables import print_conversion

    with phases() as progress:
        conversion = converter.convert_file(source, target, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(conversion.to_json()))
    else:
        print_conversion(conversion, source, target)


def _inspect(path: Path, as_json: bool, **options: Any) -> int:
    from converter.inspect import inspect_file
    from converter.reports import print_inspection

    inspection = inspect_file(path, **options)
    if as_json:
        click.echo(json.dumps(inspection.to_json()))
    else:
        print_inspection(inspection)
    return 0 if inspection else 1


def _diff(left: Path, right: Path, as_json: bool, **options: Any) -> int:
    from converter.difference import compare_files
    from converter.reports import print_difference

    difference = compare_files(left, right, **options)
    if as_json:
        click.echo(json.dumps(difference.to_json()))
    else:
        print_difference(difference)
    return 0 if difference else 1
