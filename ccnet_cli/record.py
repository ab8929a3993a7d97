"""`ccnet-parity record`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ccnet_cli.common import PathType, parse_size, phases, reading_options, reports_errors, say_above


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity record --reference ref.py:build official.pth --out reference/    where torch is\n"
    "  ccnet-parity --reference-recording reference/ --port port.py:build            where Paddle is\n"
    "\n\b\nOr each machine records, and a third compares:\n"
    "  ccnet-parity record --port port.py:build --port-weights my.pdparams --out port/\n"
    "  ccnet-parity record --port port.py:build --reference-recording reference/ --out port/\n"
    "  ccnet-parity compare port/ reference/\n"
    "\n\nExit code: 0 recorded, 2 bad input."
)
@click.argument("source", type=PathType, required=False)
@click.option("--reference", metavar="MODULE:FUNCTION", help="Record this torch module, with SOURCE if given.")
@click.option("--port", metavar="MODULE:FUNCTION", help="Record this port: a function that returns a Paddle layer.")
@click.option("--port-weights", type=PathType, help="The port's weights (.pdparams), by its own names.")
@click.option(
    "--reference-recording",
    type=PathType,
    metavar="DIR",
    help="Take a fresh port's weights, and the inputs, from this recorded reference.",
)
@click.option("--out", type=PathType, required=True, metavar="DIR", help="A new folder, or a former recording.")
@click.option(
    "--keep",
    type=click.Choice(["tensors", "digests"]),
    default="tensors",
    show_default=True,
    help="All tensors, or samples of those inside the network.",
)
@click.option(
    "--input-size", callback=parse_size, metavar="H[,W]", help="One input of this size instead of the default ones."
)
@click.option("--inputs", metavar="FILE.npz|MODULE:FUNCTION", help="Your own inputs, as ccnet-parity takes them.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the inputs.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--keep-tf32", is_flag=True, help="On a GPU, keep TF32 as the framework has it. [default: off]")
@reading_options
@reports_errors()
def record(**options: Any) -> None:
    """Record one network where its framework is installed, and not the other's, to be compared elsewhere.

    The recording has the network's modules, weights and inputs, and what enters and leaves each module in float64 and
    float32. Its size is said before it is written.
    """
    from parity.recordings.command import Options, run

    with phases() as progress:
        run(Options(progress=progress, say=say_above, **options))
    click.echo(f"recorded: {Path(options['out'])}")
