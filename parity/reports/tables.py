"""A report for people, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from converter.console import wide_console
from parity.verdicts.report import Layer, Report

LISTED = 12
"""Failing probes shown one by one; the report file has all."""


def print_report(report: Report, console: Console | None = None) -> None:
    """The weights, a table of the layers by stage, what was not compared, and the verdict."""
    console = console or wide_console()
    _print_weights(report, console)
    console.print(_stage_table(report) if len(report.layers) > LISTED else _layer_table(report.layers))
    if report.failures and len(report.layers) > LISTED:
        console.print(f"first {min(LISTED, len(report.failures))} of {len(report.failures)} failing probes")
        console.print(_layer_table(report.failures[:LISTED]))
    _print_gaps(report, console)
    for guilty in report.guilty[1:]:
        console.print(f"also: {guilty.sentence}", soft_wrap=True)
    console.print(f"[bold]{'PASSED' if report else 'FAILED'}[/bold]: {report.summary}", soft_wrap=True)
    if report.first_divergence is not None:
        needed = report.first_divergence.comparison.required_tolerance
        console.print(f"the smallest limit that would have passed there: {needed:.1e}")


def _print_weights(report: Report, console: Console) -> None:
    weights = report.weights
    if not weights:
        return
    console.print(
        f"{weights['family']}, ResNet-{weights['depth']}, {weights['num_classes']} classes, "
        f"recurrence {report.settings.get('recurrence')}"
    )
    for note in weights.get("notes", ()):
        console.print(f"note: {note}", soft_wrap=True)
    different = len(weights["different"])
    copied = "; the port had none of them and was given them by the pairing" if weights.get("copied") else ""
    console.print(
        f"weights: {weights['tensors']} tensors, "
        + ("all equal bit for bit after conversion" if not different else f"{different} differ")
        + f"; rounding a folded scale changed it by at most {weights['fold_rounding']:.1e} of itself{copied}",
        soft_wrap=True,
    )


def _print_gaps(report: Report, console: Console) -> None:
    coverage = report.coverage
    console.print(f"compared: {len(coverage.paired)} modules, paired by {coverage.origin}")
    gaps = {
        "torch layers without a counterpart": coverage.unpaired_torch,
        "Paddle layers without a counterpart": coverage.unpaired_paddle,
        "parameters that influence no output": coverage.uninfluential,
        "paired but never called": coverage.uncalled,
        "whose boundaries the port draws elsewhere": coverage.redrawn,
    }
    for what, names in gaps.items():
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            console.print(f"not compared, {what}: {', '.join(names[:LISTED])}{more}", soft_wrap=True)
    for note in report.notes:
        console.print(f"compared with: {note}", soft_wrap=True)
    if report.incumbents:
        verdicts = (f"{name} {'passes' if said['passed'] else 'fails'}" for name, said in report.incumbents.items())
        console.print(f"other criteria on the float32 outputs: {', '.join(verdicts)}", soft_wrap=True)
    for problem in report.problems:
        console.print(f"problem: {problem}", soft_wrap=True)


COLUMNS = (("isolated", "float64"), ("free", "float64"), ("isolated", "float32"), ("free", "float32"))


def _stage_table(report: Report) -> Table:
    """One row per stage: the worst figure of each mode and precision, and the layer it is of."""
    stages: dict[str, list[Layer]] = {}
    for layer in report.layers:
        stages.setdefault(_stage(layer.path), []).append(layer)
    shown = [column for column in COLUMNS if any(_is_in(column, layer) for layer in report.layers)]
    table = Table("stage", "probes", *(" ".join(column) for column in shown), "failed", "worst layer", box=box.SIMPLE)
    for stage, layers in stages.items():
        worst = max(layers, key=lambda layer: (not layer.comparison, layer.comparison.required_tolerance))
        figures = [_worst_figure([layer for layer in layers if _is_in(column, layer)]) for column in shown]
        failures = sum(not layer.comparison for layer in layers)
        table.add_row(stage, str(len(layers)), *figures, str(failures or ""), worst.name)
    table.caption = "float64: greatest difference over RMS; float32: distance from the truth, in torch's own"
    return table


def _is_in(column: tuple[str, str], layer: Layer) -> bool:
    return column == (layer.mode, layer.dtype)


def _worst_figure(layers: list[Layer]) -> str:
    if not layers:
        return ""
    comparison = max((layer.comparison for layer in layers), key=lambda comparison: comparison.required_tolerance)
    if comparison.noise_ratio is not None:
        return f"{comparison.noise_ratio:.2f} ×"
    return f"{comparison.relative:.1e}"


def _stage(path: str) -> str:
    """`backbone.stage3`, `head`, `(network)`: the part of the network that a row stands for."""
    parts = path.split(".")
    return ".".join(parts[:2]) if parts[0] == "backbone" and len(parts) > 1 else parts[0] or "(network)"


def _layer_table(layers: Iterable[Layer]) -> Table:
    table = Table(
        "layer", "input", "mode", "dtype", "max |Δ|", "Δ / RMS", "noise ratio", "worst at", "", box=box.SIMPLE
    )
    for layer in layers:
        comparison = layer.comparison
        table.add_row(
            layer.name if layer.site == "output" else f"{layer.name}: {layer.site}",
            layer.input,
            layer.mode,
            layer.dtype,
            f"{comparison.max_abs:.1e}",
            f"{comparison.relative:.1e}",
            _ratio(layer),
            ",".join(map(str, comparison.worst_index)),
            "ok" if comparison else comparison.reason,
        )
    return table


def _ratio(layer: Layer) -> str:
    ratio = layer.comparison.noise_ratio
    return "" if ratio is None else f"{ratio:.2f}"
