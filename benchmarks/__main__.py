"""`python -m benchmarks [NAME …]`: one table of figures, all measured in this run, and the same as JSON.

The JSON file is `build/benchmark.json`: the machine, and for each row its benchmark, what was measured, the median of
the rounds between their quartiles, the limit and whether it is met.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from benchmarks.measure import Row, run_benchmark
from converter.console import wide_console

BENCHMARKS = ("start", "convert", "verdict", "layer_by_layer", "attention", "metric", "sliding")
TARGET = Path("build/benchmark.json")
WORDS = {True: "met", False: "missed", None: ""}


def main(names: list[str]) -> None:
    """Measure, print each row as it comes and the table at the end, and write the JSON file."""
    if unknown := set(names) - set(BENCHMARKS):
        raise SystemExit(f"no benchmark is called {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    found: list[tuple[str, Row]] = []
    # Each in a process of its own: what is measured starts with the greatest memory of the process that starts it.
    with get_context("spawn").Pool(1, maxtasksperchild=1) as children:
        for name, rows in zip(names or BENCHMARKS, children.imap(run_benchmark, names or BENCHMARKS), strict=True):
            found += [(name, row) for row in rows]
    table = Table("benchmark", "", "figure (quartiles)", "limit", "", box=box.SIMPLE)
    for name, row in found:
        table.add_row(name, row.what, f"{row.figure} {row.unit}", row.limit, WORDS[row.met])
    wide_console().print(table)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(describe(found), indent=1) + "\n", encoding="utf-8")


def describe(found: list[tuple[str, Row]]) -> dict[str, Any]:
    """What the JSON file holds."""
    rows = [{"benchmark": name, **asdict(row), "met": row.met} for name, row in found]
    return {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "rows": rows}


if __name__ == "__main__":
    main(sys.argv[1:])
