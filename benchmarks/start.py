"""How long a user waits for a command that does nothing: `--help`, each a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Ratio, Row, command, run_child

COMMANDS = ("ccnet-convert", "ccnet-parity", "ccnet-eval", "ccnet-seg")
ROUNDS = 5
LIMIT = 0.3


def rows() -> Iterator[Row]:
    """Seconds of CPU."""
    for name in COMMANDS:
        seconds = [run_child([command(name), "--help"]).cpu for _ in range(ROUNDS + 1)][1:]
        yield Row(what=f"{name} --help: CPU time", figure=Ratio.of(seconds, [1.0] * ROUNDS), unit="s", at_most=LIMIT)
