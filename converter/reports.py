"""An inspection and a difference, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from converter.console import wide_console
from converter.difference import Difference, TensorDifference
from converter.inspect import Inspection
from converter.names import collapse, count, summarize
from families import get_family
from families.differences import describe


def print_inspection(inspection: Inspection, console: Console | None = None) -> None:
    """One property a row."""
    console = console or wide_console()
    table = Table(box=box.SIMPLE, show_header=False)
    for name, value in _properties(inspection):
        table.add_row(escape(name), escape(value))
    console.print(table)


def _properties(inspection: Inspection) -> Iterator[tuple[str, str]]:
    yield "file", f"{inspection.file}, {inspection.format}, {inspection.bytes / 1e6:.1f} MB"
    yield "SHA-256", inspection.sha256
    if inspection.name_hash:
        verdict = "is the file's" if inspection.name_hash_matches else "is NOT the file's: it is damaged or was changed"
        yield "hash in its name", f"{inspection.name_hash} {verdict}"
    yield "family", f"{inspection.family or 'unknown'}: {inspection.reason}"
    if inspection.family:
        yield from _network(inspection)
    yield "tensors", f"{inspection.tensors}, {inspection.parameters:,} parameters and {inspection.buffers:,} others"
    for dtype, found in inspection.dtypes.items():
        elements = f"{found['elements']:,} element{'s' * (found['elements'] != 1)}"
        yield f"  {dtype}", f"{count(found['tensors'], 'tensor')}, {elements}"
    if inspection.wrappers:
        yield "wrappers", ", ".join(inspection.wrappers)
    if inspection.skipped:
        yield "not read", ", ".join(inspection.skipped)
    for note in inspection.notes:
        yield "note", note
    for kind, entries in inspection.problems.items():
        yield kind, f"{len(entries)}: {summarize(entries)}"
    for oddity, names in inspection.suspicious.items():
        yield oddity, f"{len(names)}: {summarize(names)}"
    if not inspection.suspicious:
        yield "suspicious", "nothing"


def _network(inspection: Inspection) -> Iterator[tuple[str, str]]:
    yield "keys", "the twins' (canonical)" if inspection.keys == "canonical" else f"{inspection.keys}'s own"
    heads = f", {count(inspection.num_classes, 'class')}" if inspection.num_classes else ", the backbone alone"
    yield "network", f"ResNet-{inspection.depth}{heads}"
    architecture = get_family(str(inspection.family)).architecture
    for name, value in describe(replace(architecture, auxiliary=inspection.auxiliary is not False)).items():
        yield f"  {name}", value
    if inspection.align_corners is not None:
        yield "align_corners", f"{inspection.align_corners}, of the resize of logits"
    if inspection.num_classes:
        known = "in no checkpoint; its users must know" if inspection.recurrence is None else inspection.recurrence
        yield "recurrence", str(known)
    yield "negative scales", count(inspection.negative_scales or 0, "element")
    for figure in inspection.published:
        several = f", {figure['multi_scale']:.2f} with several scales and flips" if figure["multi_scale"] else ""
        yield (
            "published mIoU",
            f"{figure['miou']:.2f}{several} ({figure['label']}; {figure['dataset']}; {figure['source']})",
        )


def print_difference(difference: Difference, console: Console | None = None) -> None:
    """What differs, one tensor a row, and what is in one file alone."""
    console = console or wide_console()
    for path, family in zip((difference.left, difference.right), difference.families, strict=True):
        console.print(f"{path}: {family or 'canonical names'}", soft_wrap=True, markup=False)
    for note in difference.notes:
        console.print(f"  {note}", soft_wrap=True, markup=False)
    if difference.different:
        console.print(_different(difference.different))
    for path, names in ((difference.left, difference.only_left), (difference.right, difference.only_right)):
        if names:
            console.print(f"{len(names)} only in {path}: {', '.join(collapse(names))}", soft_wrap=True, markup=False)
    missing = len(difference.only_left) + len(difference.only_right)
    console.print(f"{len(difference.equal)} equal, {len(difference.different)} different, {missing} missing")


def _different(tensors: tuple[TensorDifference, ...]) -> Table:
    table = Table("tensor", "max |Δ|", "at", "elements", "shape", "dtype", box=box.SIMPLE)
    for tensor in tensors:
        table.add_row(
            escape(tensor.name),
            "" if tensor.max_abs is None else f"{tensor.max_abs:.1e}",
            ",".join(map(str, tensor.index or ())),
            "" if tensor.elements is None else f"{tensor.elements:,}",
            _pair(*("×".join(map(str, shape)) or "0-d" for shape in tensor.shapes)),
            _pair(*tensor.dtypes),
        )
    return table


def _pair(left: str, right: str) -> str:
    return left if left == right else f"{left} / {right}"
