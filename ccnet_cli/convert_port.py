"""`ccnet-convert` for a network of the user's: to his port's names, and back to his reference's."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ccnet_cli.common import phases, say_error

TWINS = {"keys": "--to", "dtype": "--dtype", "align_corners": "--align-corners"}
"""Options of a target for the twins alone; a port has its own names and dtypes."""


def convert_for_port(source: Path, target: Path, as_json: bool, **options: Any) -> int:
    """Convert, print what was done, and return the exit code."""
    from parity.conversion import convert, tables
    from parity.options import Options

    given = [name for parameter, name in TWINS.items() if options.pop(parameter) is not None]
    if given:
        raise click.UsageError(f"{', '.join(given)}: a port's weights have its own names and dtypes; leave it out")
    how = {name: options.pop(name) for name in ("check", "dry_run", "force")}
    with phases() as progress:
        asked = Options(source=source, layer_by_layer=True, progress=progress, **options)
        conversion = convert.convert_for_port(asked, target, **how)
    if as_json:
        click.echo(json.dumps(conversion.to_json()))
    else:
        tables.print_port_conversion(conversion, target)
    if not conversion:
        say_error(f"{target}: not written, for the port does not compute what the reference does")
    return 0 if conversion else 1


def convert_back(source: Path, target: Path, as_json: bool, **options: Any) -> None:
    """Take a port's weights back to the user's own reference, and print what was done."""
    from converter import back, tables

    how = {name: options.pop(name) for name in ("reading", "dry_run", "force")}
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"{', '.join(given)}: {source} is of no known family; leave it out")
    with phases() as progress:
        manifest = back.convert_back(source, target, progress=progress, **how)
    if as_json:
        click.echo(json.dumps(asdict(manifest)))
    else:
        tables.print_way_back(manifest, target)
