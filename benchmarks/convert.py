"""Time and memory of `ccnet-convert`, verification included, against the naive script.

Run as `python -m benchmarks.convert`. The source is a full-size official checkpoint (286 MB) of stand-in
weights. The naive script loads it with torch and saves its arrays with Paddle, unfolded, unchecked and under
their old names. Each run is a process of its own; the two take turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Ratio, run_child

NAIVE = """
import sys, torch, paddle
state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
paddle.save({key: value.numpy() for key, value in state.items()}, sys.argv[2])
"""
LIMITS = {"wall time": 0.6, "peak memory": 0.6}
ROUNDS = 7


def measure(folder: Path) -> dict[str, Ratio]:
    """Ratios of `ccnet-convert` to the naive script."""
    source, target = folder / "official.pth", folder / "official.pdparams"
    subprocess.run([sys.executable, "-m", "twins.standin", source], check=True)
    ours = [str(Path(sys.executable).with_name("ccnet-convert")), str(source), str(target), "--force"]
    theirs = [sys.executable, "-c", NAIVE, str(source), str(folder / "naive.pdparams")]
    for command in (ours, theirs):  # once unmeasured, to read the files into the system's cache
        run_child(command)
    rounds = [(run_child(ours), run_child(theirs)) for _ in range(ROUNDS)]
    return {
        name: Ratio.of([our[index] for our, _ in rounds], [their[index] for _, their in rounds])
        for index, name in enumerate(LIMITS)
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ratios = measure(Path(folder))
    table = Table(
        "", "ratio (quartiles)", "limit", "", title="ccnet-convert / naive script, official checkpoint, 286 MB"
    )
    for name, ratio in ratios.items():
        table.add_row(name, str(ratio), f"{LIMITS[name]:.2f}", "met" if ratio.within(LIMITS[name]) else "missed")
    Console().print(table)


if __name__ == "__main__":
    main()
