"""A report for people, in the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from textwrap import wrap

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from converter.console import NARROW, wide_console
from converter.names import collapse, count
from parity.verdicts.comparison import Comparison
from parity.verdicts.report import OUTPUT_SITE, Coverage, Layer, Report, name_both

WIDE = 120
"""Columns of a terminal from which tables have all of theirs."""
FLOAT32_ALONE = "in float32 alone there is no truth, and the limit finds gross faults only: compare in float64, too"
"""Where float32 passed alone."""
LISTED = 12
"""Failing probes shown one by one; the report file has all."""


def print_report(report: Report, console: Console | None = None) -> None:
    """The weights, the pairs, a table of the layers by stage, what was not compared, and the verdict."""
    console = console or wide_console()
    for line in (*_weight_lines(report), *report.notes):
        console.print(line, soft_wrap=True, markup=False)
    if report.pairs and report.coverage.origin != "mapping":
        console.print(_pair_table(report))
    console.print(
        _stage_table(report, console.width)
        if len(report.layers) > LISTED
        else _layer_table(report.layers, console.width)
    )
    if report.failures and len(report.layers) > LISTED:
        failing = list(_once(report.failures))
        number = count(len(failing), "failing probe")
        console.print(f"the first {LISTED} of {number}" if len(failing) > LISTED else number)
        console.print(_layer_table(failing[:LISTED], console.width))
    if report.failures and not report.guilty:
        console.print(escape(f"{report.failures[0].name}: {report.failures[0].comparison.reason}"), soft_wrap=True)
    _print_gaps(report, console)
    said = None
    for guilty in report.guilty[1:]:
        console.print(f"also: {escape(guilty.sentence)}", soft_wrap=True)
        if guilty.reasons and guilty.reasons != said:
            _print_reasons(guilty.reasons[:1] if guilty.cause is not None else guilty.reasons, console)
        said = guilty.reasons
    if not report and report.incumbents:
        verdicts = (f"{name} {'passes' if said['passed'] else 'fails'}" for name, said in report.incumbents.items())
        console.print(f"other criteria on the float32 outputs: {', '.join(verdicts)}", soft_wrap=True)
    _print_verdict(report, console)


def _print_verdict(report: Report, console: Console) -> None:
    """The last lines: passed or failed, why, and what is to be known of it."""
    console.print(f"[bold]{'PASSED' if report else 'FAILED'}[/bold]: {escape(report.summary)}", soft_wrap=True)
    if report.guilty:
        _print_reasons(report.guilty[0].reasons, console)
    if report.first_divergence is not None:
        needed = report.first_divergence.comparison.required_tolerance
        if math.isfinite(needed):
            console.print(f"the smallest limit that would have passed there: {needed:.1e}")
    if report and {layer.dtype for layer in report.layers} == {"float32"}:
        console.print(FLOAT32_ALONE, soft_wrap=True)


def _print_reasons(reasons: Iterable[str], console: Console) -> None:
    """Why a layer differs, below it, in lines that the terminal has room for."""
    width = min(console.width, NARROW)
    for reason in reasons:
        for line in wrap(reason, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False):
            console.print(escape(line), soft_wrap=True, highlight=False)


def _weight_lines(report: Report) -> Iterator[str]:
    weights = report.weights
    if weights.get("copied"):
        yield "the port came without weights: it was given the reference's, by the pairing"
    if "family" in weights:
        yield (
            f"{weights['family']}, ResNet-{weights['depth']}, {count(weights['num_classes'], 'class')}, "
            f"recurrence {report.settings.get('recurrence')}"
        )
    yield from (f"note: {note}" for note in weights.get("notes", ()))
    if "tensors" in weights:
        different, alone = len(weights["different"]), len(weights.get("alone", ()))
        said = "all equal bit for bit" if not different else f"{different} differ{'s' if different == 1 else ''}"
        converted = " after conversion" if "fold_rounding" in weights else ""
        folded = (f"; {OPERATIONS[name]} in {number}" for name, number in weights.get("operations", {}).items())
        rounding = weights.get("fold_rounding")
        yield (
            f"weights: {count(weights['tensors'], 'tensor')}, {said}{converted}{''.join(folded)}"
            + (f"; {alone} of the reference's have no counterpart" if alone else "")
            + (f"; rounding a folded scale changed it by at most {rounding:.1e} of itself" if rounding else "")
        )


OPERATIONS = {
    "fold": "the port keeps |weight| + epsilon",
    "unfold": "the port adds |weight| + epsilon up itself",
    "transpose": "the other way round",
}
"""How a tensor of the port is the reference's, for people."""


def _pair_table(report: Report) -> Table:
    """Which layer is which, repeated ones in one row."""
    table = Table("reference", "port", "modules", box=box.SIMPLE)
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for path, target in report.pairs.items():
        if path or target:
            groups.setdefault((_pattern(path), _pattern(target)), []).append((path, target))
    for members in groups.values():
        paths, targets = zip(*members, strict=True)
        table.add_row(_collapsed(paths), _collapsed(targets), str(len(members)))
    return table


def _pattern(path: str) -> str:
    return re.sub(r"\d+", "#", path)


def _collapsed(paths: Iterable[str]) -> str:
    return escape(", ".join(collapse(dict.fromkeys(paths))))


def _print_gaps(report: Report, console: Console) -> None:
    coverage = report.coverage
    console.print(f"compared: {count(len(coverage.paired), 'module')}, paired by {coverage.origin}")
    gaps = {
        "layers of the reference without a counterpart": coverage.unpaired_reference,
        "layers of the port without a counterpart": coverage.unpaired_port,
        "parameters that influence no output": coverage.uninfluential,
        "paired but never called": coverage.uncalled,
        "whose boundaries the port draws elsewhere": coverage.redrawn,
    }
    for what, names in gaps.items():
        for said, listed in (("accepted", _accepted(names, coverage)), ("not compared", _open(names, coverage))):
            if listed:
                few = len(listed) <= LISTED
                number, shown = ("", listed) if few else (f"{len(listed)} ", list(collapse(listed)))
                more = f" and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
                console.print(f"{said}, {number}{what}: {escape(', '.join(shown[:LISTED]))}{more}", soft_wrap=True)
    for problem in report.problems:
        console.print(f"problem: {escape(problem)}", soft_wrap=True)


def _accepted(names: Iterable[str], coverage: Coverage) -> list[str]:
    return [name for name in names if any(fnmatch(name.partition(" #")[0], glob) for glob in coverage.accepted)]


def _open(names: Iterable[str], coverage: Coverage) -> list[str]:
    taken = set(_accepted(names, coverage))
    return [name for name in names if name not in taken]


COLUMNS = (("isolated", "float64"), ("free", "float64"), ("isolated", "float32"), ("free", "float32"))
FEWEST = (("", "float64"), ("", "float32"))
"""Mode and precision; "" for both modes."""


def _stage_table(report: Report, width: int) -> Table:
    """One row per stage: the worst figure of each mode and precision, and the layer it is of."""
    stages: dict[str, list[Layer]] = {}
    for layer in report.layers:
        stages.setdefault(_stage(layer.path), []).append(layer)
    columns = COLUMNS if width >= NARROW else FEWEST
    shown = [column for column in columns if any(_is_in(column, layer) for layer in report.layers)]
    narrow = width < WIDE
    table = Table(box=box.SIMPLE)
    table.add_column("stage", overflow="fold", width=max(16, width - 12 - 12 * len(shown)) if narrow else None)
    for column in ("" if narrow else "probes", *(" ".join(column).strip() for column in shown), "failed"):
        if column:
            table.add_column(column, width=None if not narrow else 7 if column == "failed" else 9)
    if not narrow:
        table.add_column("worst layer")
    for stage, layers in stages.items():
        worst = max(layers, key=lambda layer: (not layer.comparison, layer.comparison.required_tolerance))
        figures = [_worst_figure([layer for layer in layers if _is_in(column, layer)]) for column in shown]
        failures = sum(not layer.comparison for layer in layers)
        row = [*figures, str(failures or "")]
        table.add_row(escape(stage), *(row if narrow else [str(len(layers)), *row, escape(worst.name)]))
    table.caption = "float64: Δ / RMS; float32: distance from the float64 truth over torch's own"
    return table


def _is_in(column: tuple[str, str], layer: Layer) -> bool:
    return column in ((layer.mode, layer.dtype), ("", layer.dtype))


def _worst_figure(layers: list[Layer]) -> str:
    if not layers:
        return ""
    comparison = max((layer.comparison for layer in layers), key=lambda comparison: comparison.required_tolerance)
    if comparison.noise_ratio is not None:
        ratio = comparison.noise_ratio
        return f"{ratio:.2f} ×" if ratio < 100 else f"{ratio:.0f} ×" if ratio < 1e4 else f"{ratio:.0e} ×"
    return f"{comparison.relative:.1e}"


def _stage(path: str) -> str:
    """`backbone.stage3`, `head`, `(network)`: the part of the network that a row stands for."""
    parts = path.split(".")
    return ".".join(parts[:2]) if parts[0] == "backbone" and len(parts) > 1 else parts[0] or "(network)"


HEADERS = {
    WIDE: ("layer", "input", "mode", "dtype", "max |Δ|", "Δ / RMS", "noise ratio", "worst at", ""),
    NARROW: ("layer", "input", "mode", "dtype", "Δ / RMS", "noise ratio"),
    0: ("layer", "mode", "dtype", "Δ / RMS"),
}
"""Columns of a terminal -> what is shown of a layer."""


def _layer_table(layers: Iterable[Layer], width: int) -> Table:
    """In narrow terminals the layer and its figure are what is left; names go on in the next line."""
    headers = next(headers for columns, headers in HEADERS.items() if width >= columns)
    table = Table(box=box.SIMPLE)
    for header in headers:
        title = "ratio" if width < WIDE and header == "noise ratio" else header
        table.add_column(title, overflow="fold", no_wrap=header not in ("layer", "input"))
    for layer in _once(layers):
        cells = _cells(layer)
        table.add_row(*(cells[header] for header in headers))
    return table


def _cells(layer: Layer) -> dict[str, str]:
    comparison = layer.comparison
    name = name_both(layer.port, layer.path) + (f", pass {layer.call + 1}" if layer.call else "")
    name += f", output {layer.output + 1}" if layer.output else ""
    return {
        "layer": escape(name if layer.site == OUTPUT_SITE else f"{name}: {layer.site}"),
        "input": escape(layer.input),
        "mode": layer.mode,
        "dtype": layer.dtype,
        "max |Δ|": f"{comparison.max_abs:.1e}",
        "Δ / RMS": f"{comparison.relative:.1e}",
        "noise ratio": _ratio(layer),
        "worst at": ",".join(map(str, comparison.worst_index)),
        "": _outcome(comparison),
    }


def _once(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Without the network's outputs that a module's, shown above, are."""
    seen = set()
    for layer in layers:
        one = layer.comparison
        figures = layer.input, layer.mode, layer.dtype, one.max_abs, one.mean_abs, one.worst_index, layer.shape
        if layer.path or figures not in seen:
            yield layer
        seen.add(figures)


def _outcome(comparison: Comparison) -> str:
    if comparison:
        return "ok"
    return f"{comparison.beyond:,} of {comparison.elements:,} beyond" if comparison.elements else "failed"


def _ratio(layer: Layer) -> str:
    ratio = layer.comparison.noise_ratio
    return "" if ratio is None else f"{ratio:.2f}"
