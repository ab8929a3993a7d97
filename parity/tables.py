"""A report for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from converter.console import wide_console
from parity.report import Report


def print_report(report: Report, console: Console | None = None) -> None:
    """The verdict, the weights and one row per comparison."""
    console = console or wide_console()
    weights = report.weights
    console.print(
        f"{weights['family']}, ResNet-{weights['depth']}, {weights['num_classes']} classes, "
        f"recurrence {report.recurrence}"
    )
    same = len(weights["different"]) == 0
    console.print(
        f"weights: {weights['tensors']} tensors, "
        + ("all equal bit for bit after conversion" if same else f"{len(weights['different'])} differ")
        + f"; rounding a folded scale changed it by at most {weights['fold_rounding']:.1e} of itself",
        soft_wrap=True,
    )
    console.print(_layer_table(report))
    console.print(f"[bold]{'PASSED' if report else 'FAILED'}[/bold]: {report.summary}", soft_wrap=True)


def _layer_table(report: Report) -> Table:
    table = Table("output", "input", "dtype", "max |Δ|", "Δ / RMS", "noise ratio", "worst at", "", box=box.SIMPLE)
    for layer in report.layers:
        comparison = layer.comparison
        table.add_row(
            layer.path,
            layer.input,
            layer.dtype,
            f"{comparison.max_abs:.1e}",
            f"{comparison.relative:.1e}",
            "" if comparison.noise_ratio is None else f"{comparison.noise_ratio:.2f}",
            ",".join(map(str, comparison.worst_index)),
            "ok" if comparison else f"FAILED: {comparison.reason}",
        )
    return table
