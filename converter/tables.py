"""A conversion for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from converter.bridge import CANONICAL_LEAVES, PADDLE_LEAVES
from converter.console import NARROW, wide_console
from converter.convert import Conversion
from converter.manifest import Manifest
from converter.names import collapse, count, summarize
from converter.operations import FOLD_EPSILON
from converter.plan import Step
from converter.target import CANONICAL, Target

UNDONE = {"copy": "copy", "fold": "unfold", "expand": "squeeze"}
"""What the way back of an operation is called."""
LEAVES = {"weight", "bias", *PADDLE_LEAVES, *CANONICAL_LEAVES}
"""Names of tensors that a row of a table leaves out, their layer saying enough."""


def print_conversion(conversion: Conversion, source: Path, target: Path, console: Console | None = None) -> None:
    """Family and why, what became of what, and what was verified."""
    console = console or wide_console()
    manifest = conversion.manifest
    for line in _describe_source(conversion, source):
        console.print(line, soft_wrap=True, markup=False)
    ways = (_way(conversion, step, name) for step, name in conversion.detection.plan.transfers)
    console.print(transfer_table(ways, console.width))
    for line in _lost(conversion):
        console.print(line, soft_wrap=True, markup=False)
    if manifest.target is None:
        console.print("dry run: nothing was written")
        return
    print_written(console, target, manifest, _verified(conversion.target))


def print_way_back(manifest: Manifest, target: Path, console: Console | None = None) -> None:
    """A port's weights, taken back to a reference of the user's."""
    console = console or wide_console()
    exact = "bit for bit what was converted" if manifest.reversible else "not bit for bit what was converted"
    for line in (
        f"{manifest.source['name']}: of {manifest.port}, back to the keys of {manifest.reference}",
        f"{count(len(manifest.tensors), 'tensor')}, {exact}",
    ):
        console.print(line, soft_wrap=True, markup=False)
    if manifest.target is None:
        console.print("dry run: nothing was written")
        return
    print_written(console, target, manifest, "every key has its tensor")


def print_written(console: Console, target: Path, manifest: Manifest, verified: str) -> None:
    """What was written, and how it was `verified` beyond its bits."""
    assert manifest.target is not None
    for line in (
        f"{target}: {manifest.target['bytes'] / 1e6:.1f} MB, sha256 {manifest.target['sha256'][:16]}…",
        f"verified: read back bit for bit as planned, and {verified}",
    ):
        console.print(line, soft_wrap=True, markup=False)


def _describe_source(conversion: Conversion, source: Path) -> Iterator[str]:
    manifest, plan = conversion.manifest, conversion.detection.plan
    yield f"{source.name}: {plan.family.name}, {plan.family.description}"
    yield f"  because {conversion.detection.reason}"
    if plan.family.architecture.heads:
        yield f"  ResNet-{manifest.depth}, {count(manifest.num_classes, 'class')}, {_recurrence(manifest.recurrence)}"
    else:
        yield f"  ResNet-{manifest.depth}, the backbone alone"
    if plan.family.variants and manifest.align_corners is not None:
        others = " and ".join(variant.file for variant in plan.family.variants)
        yield (
            f"  logits are resized with align_corners={manifest.align_corners}; "
            f"{others} in the file's name means True, --align-corners overrules it"
        )
    if manifest.wrappers:
        yield f"  taken off: {', '.join(manifest.wrappers)}"
    if manifest.skipped:
        yield f"  skipped: {', '.join(manifest.skipped)}"
    for note in manifest.notes:
        yield f"  note: {note}"


def _verified(target: Target) -> str:
    if target.twin is None:
        return f"every key and shape is {target.keys}'s"
    return f"every name and shape is the {target.twin} twin's"


def _recurrence(recurrence: int | None) -> str:
    if recurrence is not None:
        return f"recurrence {recurrence}, as given"
    return "recurrence unknown: no checkpoint contains it, pass --recurrence to record it"


def transfer_table(ways: Iterable[tuple[str, str, str]], width: int) -> Table:
    """Transfers, each a name in the source, a name in the target and an operation, by layers with their numbers
    collapsed; how many there are only where the terminal's `width` has room for it."""
    narrow = width < NARROW
    table = Table("source", "target", *([] if narrow else ["tensors"]), "operation", box=box.SIMPLE)
    table.columns[-1].no_wrap = True
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for source, target, operation in ways:
        leaf = operation if operation == "copy" else f"{operation} {_leaf(target)}"
        of_layers = {_leaf(source), _leaf(target)} <= LEAVES
        pair = (_module(source), _module(target)) if of_layers else (source, target)
        groups.setdefault((_pattern(pair[0]), _pattern(pair[1])), []).append((*pair, leaf))
    for members in groups.values():
        sources, targets, operations = zip(*members, strict=True)
        table.add_row(
            escape(_collapsed(sources)),
            escape(_collapsed(targets)),
            *([] if narrow else [str(len(members))]),
            ", ".join(dict.fromkeys(operations)),
        )
    return table


def _way(conversion: Conversion, step: Step, name: str) -> tuple[str, str, str]:
    """Name in the source, name in the target, and operation of one tensor."""
    to_twin, from_twin = conversion.target.keys == CANONICAL, conversion.origin.converted
    own = conversion.origin.own_names.get(step.source, name)
    source, target = own if from_twin else step.source, name if to_twin else step.source
    if to_twin == from_twin:
        return source, target, "copy"
    return source, target, step.operation if to_twin else UNDONE[step.operation]


def _lost(conversion: Conversion) -> Iterator[str]:
    plan, manifest, origin = conversion.detection.plan, conversion.manifest, conversion.origin
    folded = [step for step in plan.steps if step.operation == "fold"]
    if conversion.target.keys != CANONICAL:
        if folded and origin.converted:
            signs = "their signs are the manifest's" if origin.manifest else "without a manifest, all are positive"
            yield f"unfolded: {len(folded)} scales of InPlaceABN; {signs}"
        yield "bit for bit what was converted" if manifest.reversible else "not bit for bit what was converted"
        return
    if folded:
        negative = sum(record["negative"] for record in manifest.folded)
        kept = f"; the signs of {count(negative, 'negative element')} are kept in the manifest"
        signs = kept if manifest.folded else ""
        yield f"folded: {len(folded)} InPlaceABN scales became |weight| + {FOLD_EPSILON:.0e}{signs}"
    for reason, entries in groupby(manifest.dropped, key=lambda entry: entry["reason"]):
        names = [entry["source"] for entry in entries]
        leaves = {_leaf(name) for name in names}
        yield f"dropped: {f'{len(names)} {leaves.pop()}' if len(leaves) == 1 else summarize(names)} ({reason})"


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _collapsed(names: Iterable[Any]) -> str:
    return ", ".join(collapse(dict.fromkeys(names)))
