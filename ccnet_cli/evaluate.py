"""`ccnet-eval`."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccnet_cli.common import PathType, family_option, json_option, parse_size, phases, reading_options, reports_errors

if TYPE_CHECKING:
    from cityscapes.weights import Port


def parse_scales(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    """`0.75,1.0,1.25`."""
    try:
        scales = tuple(float(part) for part in value.split(","))
    except ValueError:
        scales = ()
    if not scales or not all(0.1 <= scale <= 10 for scale in scales):
        raise click.BadParameter(f"{value!r} is not a list of scales from 0.1 to 10, such as 0.75,1.0,1.25")
    return scales


def parse_overlap(context: click.Context, parameter: click.Parameter, value: str | None) -> Fraction | None:
    """`1/3` or `0.25`, exactly."""
    if value is None:
        return None
    try:
        overlap = Fraction(value)
    except (ValueError, ZeroDivisionError):
        overlap = Fraction(-1)
    if not 0 <= overlap < 1:
        raise click.BadParameter(f"{value!r} is not a share of the window below 1, such as 1/3")
    return overlap


def parse_counts(context: click.Context, parameter: click.Parameter, value: str) -> dict[str, int]:
    """`TRAIN,VAL`."""
    parts = value.split(",")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is not TRAIN,VAL, such as 16,8")
    return {"train": int(parts[0]), "val": int(parts[1])}


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-eval cityscapes/ --torch official.pth --paddle out.pdparams\n"
    "  ccnet-eval cityscapes/ --paddle out.pdparams --scales 0.75,1.0,1.25 --flip --report report/\n"
    "  ccnet-eval cityscapes/ --torch official.pth --port my_package:build --port-weights mine.pdparams\n"
    "  ccnet-eval --make-dataset generated/ --count 16,8 --size 512,1024\n"
    "  torchrun --nproc-per-node 4 $(which ccnet-eval) cityscapes/ --torch official.pth --device gpu\n"
    "\n\nExit code: 0 success, 1 the frameworks differ where rounding does not explain it, 2 bad input."
)
@click.argument("root", type=PathType, required=False)
@click.option("--torch", type=PathType, metavar="FILE", help="Weights of the torch twin, in any format and keys.")
@click.option("--paddle", type=PathType, metavar="FILE", help="Weights of the Paddle twin, in any format and keys.")
@click.option(
    "--port", metavar="MODULE:FUNCTION", help="Your own port, in the Paddle twin's place: a function that builds it."
)
@click.option("--port-weights", type=PathType, metavar="FILE", help="The port's .pdparams; all must fit.")
@click.option(
    "--protocol",
    type=click.Choice(["official", "paddleseg", "mmseg"]),
    help="Whose evaluation is repeated. [default: the family's]",
)
@click.option("--split", default="val", show_default=True, metavar="NAME", help="Part of the data set.")
@click.option("--whole", is_flag=True, help="Whole pictures. [default: as the protocol has it]")
@click.option("--slide", type=click.IntRange(8), metavar="N", help="Windows of N × N pixels. [default: as --whole]")
@click.option(
    "--overlap",
    callback=parse_overlap,
    metavar="SHARE",
    help="Share by which neighbouring windows overlap. [default: 1/3]",
)
@click.option(
    "--scales",
    callback=parse_scales,
    default="1.0",
    show_default=True,
    metavar="LIST",
    help="Average over pictures scaled by these.",
)
@click.option("--flip", is_flag=True, help="Average with the mirrored picture.")
@click.option(
    "--padding/--no-padding", default=True, help="Extend small pictures to the protocol's size. [default: do]"
)
@click.option(
    "--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention. [default: manifest's or 2]"
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N pictures.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode ahead.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--save-predictions", type=PathType, metavar="DIR", help="Write label ids as PNG here, by framework.")
@click.option("--report", type=PathType, metavar="DIR", help="Write report.json and report.html here.")
@click.option("--resume", is_flag=True, help="Go on where the same evaluation was interrupted.")
@click.option("--make-dataset", type=PathType, metavar="DIR", help="Generate a data set here; evaluate nothing.")
@click.option(
    "--count",
    "counts",
    callback=parse_counts,
    default="16,8",
    show_default=True,
    metavar="TRAIN,VAL",
    help="How many pictures to generate.",
)
@click.option(
    "--size", callback=parse_size, metavar="H[,W]", help="Size of the generated pictures. [default: 1024,2048]"
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the generated pictures.")
@family_option
@reading_options
@json_option
@reports_errors("interrupted; --resume goes on where an evaluation stopped")
def evaluate(
    root: Path | None,
    make_dataset: Path | None,
    counts: dict[str, int],
    size: tuple[int, int] | None,
    seed: int,
    as_json: bool,
    port: str | None,
    port_weights: Path | None,
    **options: Any,
) -> None:
    """Measure mIoU on the Cityscapes folder ROOT, with either framework or both side by side.

    With both, every pixel whose class differs must owe it to rounding: its margin may not exceed the noise
    that torch's own float32 has. No checkpoint contains its recurrence: give it, or convert with one.
    """
    if make_dataset is not None:
        if root is not None:
            raise click.UsageError("--make-dataset goes without ROOT")
        _make_dataset(make_dataset, counts=counts, seed=seed, **({} if size is None else {"size": size}))
        return
    if root is None:
        raise click.UsageError("Missing argument 'ROOT'.")
    from cityscapes.command import Options, run

    result, group = run(Options(root=root, port=_load_port(port, port_weights, **options), **options))
    if group.leads:
        _print_evaluation(result, as_json=as_json)
    sys.exit(0 if result else 1)


def _load_port(
    port: str | None, weights: Path | None, *, torch: Path | None, paddle: Path | None, device: str, **_: Any
) -> Port | None:
    if port is None and weights is None:
        return None
    if port is None or weights is None:
        raise click.UsageError("--port MODULE:FUNCTION and --port-weights FILE go together")
    if torch is None or paddle is not None:
        raise click.UsageError("--port goes with --torch FILE, its reference, and without --paddle")
    from ccnet_cli.port_network import load_network

    return load_network(port, weights, device=device)


def _make_dataset(folder: Path, **options: Any) -> None:
    from cityscapes.generate import make_dataset

    with phases() as progress:
        make_dataset(folder, train_ids=True, progress=progress, **options)
    click.echo(f"{folder}: {' and '.join(f'{n} {split}' for split, n in options['counts'].items())} pictures generated")


def _print_evaluation(result: Any, *, as_json: bool) -> None:
    from cityscapes.tables import print_result

    if as_json:
        click.echo(json.dumps(result.to_json(), allow_nan=False))
    else:
        print_result(result)
