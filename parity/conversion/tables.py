"""A conversion for a port, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from rich.console import Console

from converter.console import wide_console
from converter.names import count, summarize
from converter.tables import print_written, transfer_table
from parity.conversion.convert import PortConversion
from parity.reports.tables import print_report

UNCHECKED = "not compared with the reference: --check shows that every layer got its own weights"


def print_port_conversion(conversion: PortConversion, target: Path, console: Console | None = None) -> None:
    """What became of what, the comparison if there was one, and what was verified."""
    console = console or wide_console()
    manifest = conversion.manifest
    for line in _describe(conversion):
        console.print(line, soft_wrap=True, markup=False)
    ways = ((entry["source"], entry["target"], entry["operation"]) for entry in manifest.tensors)
    console.print(transfer_table(ways, console.width))
    for line in _lost(conversion):
        console.print(line, soft_wrap=True, markup=False)
    if conversion.report is None:
        console.print(UNCHECKED)
    else:
        print_report(replace(conversion.report, pairs={}), console)  # the table above names them
    if manifest.target is not None:
        print_written(console, target, manifest, "loaded strictly into a newly built port")
    elif conversion:
        console.print("dry run: nothing was written")


def _describe(conversion: PortConversion) -> Iterator[str]:
    manifest = conversion.manifest
    size = "" if manifest.family is None else f"{manifest.family}, ResNet-{manifest.depth}: "
    yield f"{manifest.source['name']}: {size}{conversion.reason}"
    yield f"{manifest.port}: its layers were paired by {conversion.pairing}"
    if manifest.wrappers:
        yield f"  taken off: {', '.join(manifest.wrappers)}"
    if manifest.skipped:
        yield f"  skipped: {', '.join(manifest.skipped)}"
    for note in manifest.notes:
        yield f"  note: {note}"


def _lost(conversion: PortConversion) -> Iterator[str]:
    negative = sum(record.get("negative", 0) for record in conversion.manifest.folded)
    if negative:
        yield f"the signs of {count(negative, 'negative element')} of folded scales are kept in the manifest"
    for reason, entries in groupby(conversion.manifest.dropped, key=lambda entry: entry["reason"]):
        yield f"dropped: {summarize([entry['source'] for entry in entries])} ({reason})"
