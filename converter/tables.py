"""A conversion for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from converter.console import wide_console
from converter.convert import Conversion
from converter.names import collapse
from converter.operations import FOLD_EPSILON


def print_conversion(conversion: Conversion, source: Path, target: Path, console: Console | None = None) -> None:
    """Family and why, what became of what, and what was verified."""
    console = console or wide_console()
    manifest = conversion.manifest
    plan = conversion.detection.plan
    console.print(f"{source.name}: {plan.family.name}, {plan.family.description}", soft_wrap=True)
    console.print(f"  because {conversion.detection.reason}", soft_wrap=True)
    console.print(
        f"  ResNet-{manifest.depth}, {manifest.num_classes} classes, {_recurrence(manifest.recurrence)}", soft_wrap=True
    )
    if manifest.wrappers:
        console.print(f"  taken off: {', '.join(manifest.wrappers)}")
    console.print(_table(conversion))
    console.print(_lost(conversion), soft_wrap=True)
    if manifest.target is None:
        console.print("dry run: nothing was written")
        return
    console.print(
        f"{target}: {manifest.target['bytes'] / 1e6:.1f} MB, sha256 {manifest.target['sha256'][:16]}…\n"
        f"verified: read back bit for bit as planned, and loaded strictly into the Paddle twin",
        soft_wrap=True,
    )


def _recurrence(recurrence: int | None) -> str:
    if recurrence is not None:
        return f"recurrence {recurrence}, as given"
    return "recurrence unknown: no checkpoint contains it, pass --recurrence to record it"


def _table(conversion: Conversion) -> Table:
    table = Table("source", "target", "tensors", "operation", box=box.SIMPLE)
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for step, name in conversion.detection.plan.transfers:
        source, target = _module(step.source), _module(name)
        leaf = step.operation if step.operation == "copy" else f"{step.operation} {_leaf(name)}"
        groups.setdefault((_pattern(source), _pattern(target)), []).append((source, target, leaf))
    for members in groups.values():
        sources, targets, operations = zip(*members, strict=True)
        table.add_row(_collapsed(sources), _collapsed(targets), str(len(members)), ", ".join(dict.fromkeys(operations)))
    return table


def _lost(conversion: Conversion) -> str:
    plan, lines = conversion.detection.plan, []
    folded = [step for step in plan.steps if step.operation == "fold"]
    if folded:
        lines.append(f"folded: {len(folded)} InPlaceABN scales became |weight| + {FOLD_EPSILON:.0e}")
        if conversion.manifest.folded:
            negative = sum(record["negative"] for record in conversion.manifest.folded)
            lines[-1] += f"; the signs of {negative} negative elements are kept in the manifest"
    if plan.drops:
        lines.append(f"dropped: {len(plan.drops)} {_leaf(plan.drops[0].source)} ({plan.drops[0].reason})")
    return "\n".join(lines)


def _module(name: str) -> str:
    return name if name.endswith("gamma") else name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _collapsed(names: Iterable[Any]) -> str:
    return ", ".join(collapse(dict.fromkeys(names)))
