"""A certificate in the terminal."""

from __future__ import annotations

import math

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from converter.console import NARROW, wide_console
from converter.names import count
from parity.certify.certificate import Certificate
from parity.certify.parts.kit import TOOLKIT
from parity.reports.html.certificate import list_reasons
from parity.reports.html.certificate import summarise as summarise_gates

SIGNS = {
    "passed": "[green]passed[/green]",
    "failed": "[red]FAILED[/red]",
    "not run": "[yellow]not run[/yellow]",
}


def print_certificate(certificate: Certificate, console: Console | None = None) -> None:
    """One row for each gate that was asked for, whose code it ran, and the verdict."""
    console = console or wide_console()
    asked = [outcome for outcome in certificate.outcomes if outcome.verdict != "not asked for"]
    narrow = console.width < NARROW
    table = Table("gate", "", "measured", "limit", *([] if narrow else ["why"]), box=box.SIMPLE)
    for outcome in asked:
        figures = [_figure(outcome.measured), _figure(outcome.limit)]
        first, *others = [escape(line) for line in (outcome.reason, *list_reasons(outcome.to_json()))]
        table.add_row(outcome.name, SIGNS[outcome.verdict], *figures, *([] if narrow else [first]))
        for line in () if narrow else others:
            table.add_row("", "", "", "", line)
    subject = certificate.subject
    console.print(
        f"{subject['family']}, ResNet-{subject['depth']}, {count(subject['num_classes'], 'class')}, "
        f"recurrence {subject['recurrence']}: {subject['target']['name']}",
        soft_wrap=True,
        markup=False,
    )
    for note in subject.get("notes", ()):
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    console.print(table)
    for outcome in asked if narrow else ():
        if not outcome:
            for line in (f"{outcome.name}: {outcome.reason}", *list_reasons(outcome.to_json())):
                console.print(escape(line), soft_wrap=True)
    console.print(_code(certificate))
    console.print(f"[bold]{certificate.verdict.upper()}[/bold]: {escape(summarise(certificate))}", soft_wrap=True)


def _code(certificate: Certificate) -> Table | str:
    """Whose code ran at each gate; one line where it is the toolkit's throughout."""
    ran = [outcome for outcome in certificate.outcomes if outcome.code]
    if {code for outcome in ran for code in outcome.code.values()} <= {TOOLKIT}:
        return f"code: {TOOLKIT} on both sides"
    table = Table("gate", "the port's code", "the reference's code", box=box.SIMPLE)
    for outcome in ran:
        table.add_row(outcome.name, *(escape(outcome.code[side]) for side in ("port", "reference")))
    return table


def summarise(certificate: Certificate) -> str:
    """`13 of 14 gates passed; 1 failed: loss`. Gates that nobody asked for are counted only."""
    return summarise_gates([outcome.to_json() for outcome in certificate.outcomes])


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    if not math.isfinite(value):
        return "infinite" if value > 0 else "not a number"
    return f"{value:g}" if value == int(value) and abs(value) < 1e6 else f"{value:.1e}"
