"""What `ccnet-parity doctor` prints."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from converter.console import wide_console
from parity.environment.findings import Examination

STYLES = {"ok": "green", "note": "yellow", "fault": "bold red"}


def print_examination(examination: Examination, console: Console | None = None) -> None:
    """The findings in a table, and below it what to do about those that are not ok."""
    console = console or wide_console()
    table = Table("what", "found", "verdict", box=box.SIMPLE)
    for finding in examination.findings:
        verdict = f"[{STYLES[finding.verdict]}]{finding.verdict}[/]"
        table.add_row(escape(finding.name), escape(finding.found), verdict)
    console.print(table)
    open_ones = [finding for finding in examination.findings if finding.advice]
    for finding in sorted(open_ones, key=lambda finding: finding.verdict != "fault"):
        console.print(f"{finding.verdict}: {escape(finding.name)}: {escape(finding.advice)}", soft_wrap=True)
    faults = sum(finding.verdict == "fault" for finding in examination.findings)
    said = f"UNFIT: {faults} faults" if faults else "FIT: comparisons can run here"
    console.print(f"[bold]{said}[/bold]")
