"""The commands: options in, exit code out. All work is in the packages."""

from __future__ import annotations

import functools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import converter
from converter.errors import ConverterError

Command = TypeVar("Command", bound=Callable[..., Any])
PathType = click.Path(path_type=Path)


def reports_errors(command: Command) -> Command:
    """Turn a user's mistake into one line and its exit code, and an interruption into exit code 1."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from evaluation.errors import EvaluationError
        from parity.errors import ParityInputError

        signal.signal(signal.SIGTERM, _interrupt)
        try:
            return command(*args, **kwargs)
        except (ConverterError, EvaluationError, ParityInputError) as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("error: interrupted; no file was changed", err=True)
            sys.exit(1)

    return wrapper  # type: ignore[return-value]


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def phases() -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, told the name of each phase as it begins."""
    columns = (SpinnerColumn(), TextColumn("{task.completed}"), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("starting", total=None)
        started = False

        def begin(phase: str) -> None:
            nonlocal started
            bar.update(task, description=phase, advance=1 if started else 0)
            started = True

        yield begin


def parse_size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`H` or `H,W` as (height, width)."""
    if value is None:
        return None
    try:
        numbers = [int(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise click.BadParameter(f"{value!r} is not H or H,W in pixels, such as 769 or 512,1024")
    return numbers[0], numbers[-1]


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


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
family_option = click.option("--family", metavar="NAME", help="Do not detect the family; take this one.")


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-convert official.pth out.pdparams --recurrence 2\n"
    "  ccnet-convert official.pth out.pdparams --dry-run\n"
    "  ccnet-convert out.pdparams back.pth\n"
    "  ccnet-convert paddleseg.pdparams out.safetensors\n"
    "  ccnet-convert --inspect official.pth\n"
    "  ccnet-convert --diff official.pth out.pdparams\n"
    "\n\nExit code: 0 success, 1 the conversion failed, two files differ or a hash is wrong, 2 bad input."
)
@click.argument("source", type=PathType)
@click.argument("target", type=PathType, required=False)
@click.option("--inspect", is_flag=True, help="Say what SOURCE is and holds; convert nothing.")
@click.option("--diff", is_flag=True, help="Compare SOURCE and TARGET under canonical names; convert nothing.")
@family_option
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention, for the manifest.")
@click.option(
    "--to", "keys", metavar="NAME", help="Keys of TARGET: canonical, or the family's own. [default: by TARGET's ending]"
)
@click.option(
    "--dtype",
    type=click.Choice(converter.TARGET_DTYPES),
    help="Of the target. [default: float32; keep for a family's own keys]",
)
@click.option(
    "--abn-semantics", type=click.Choice(["plain", "fold"]), help="How scales are read. [default: as the family does]"
)
@click.option("--align-corners/--no-align-corners", default=None, help="Of the resize of logits, for the manifest.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@json_option
@reports_errors
def convert(
    source: Path, target: Path | None, inspect: bool, diff: bool, family: str | None, as_json: bool, **options: Any
) -> None:
    """Convert the checkpoint SOURCE to TARGET, both .pth, .pdparams or .safetensors, in either direction.

    A .pdparams is for the Paddle twin, with a manifest beside it. From there, a .pth or .safetensors is the
    checkpoint it came from, in the reference implementation's own keys. The written file is read back,
    compared bit for bit with the plan and loaded into its twin before it takes its name.
    """
    if inspect and (diff or target is not None):
        raise click.UsageError("--inspect takes one file and goes without --diff")
    if inspect:
        sys.exit(_inspect(source, family, as_json))
    if target is None:
        raise click.UsageError("Missing argument 'TARGET'.")
    if diff:
        sys.exit(_diff(source, target, family, as_json))
    _convert(source, target, as_json, family=family, **options)


def _convert(source: Path, target: Path, as_json: bool, **options: Any) -> None:
    from converter.tables import print_conversion

    load_check = _load_into_paddle if target.suffix == ".pdparams" else _load_into_torch
    with phases() as progress:
        conversion = converter.convert_file(source, target, load_check=load_check, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(conversion.to_json()))
    else:
        print_conversion(conversion, source, target)


def _inspect(path: Path, family: str | None, as_json: bool) -> int:
    from converter.inspect import inspect_file
    from converter.reports import print_inspection

    inspection = inspect_file(path, family=family)
    if as_json:
        click.echo(json.dumps(inspection.to_json()))
    else:
        print_inspection(inspection)
    return 0 if inspection else 1


def _diff(left: Path, right: Path, family: str | None, as_json: bool) -> int:
    from converter.difference import compare_files
    from converter.reports import print_difference

    difference = compare_files(left, right, family=family)
    if as_json:
        click.echo(json.dumps(difference.to_json()))
    else:
        print_difference(difference)
    return 0 if difference else 1


def _load_into_paddle(plan: converter.Plan, tensors: dict[str, Any]) -> None:
    import models_paddle

    _load_into_twin(models_paddle, plan, tensors)


def _load_into_torch(plan: converter.Plan, tensors: dict[str, Any]) -> None:
    import models_torch

    _load_into_twin(models_torch, plan, tensors)


def _load_into_twin(package: Any, plan: converter.Plan, tensors: dict[str, Any]) -> None:
    size = {"num_classes": plan.num_classes, "recurrence": 0, "depth": plan.depth}
    model = package.build_uninitialised(plan.family.name, **size)
    try:
        package.load_weights(model, tensors)
    except ValueError as error:
        raise ConverterError(f"{package.__name__} refuses the converted weights: {error}") from None


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity --layer-by-layer\n"
    "  ccnet-parity official.pth out.pdparams --recurrence 2\n"
    "  ccnet-parity official.pth out.pdparams --layer-by-layer --report report/\n"
    "  ccnet-parity official.pth out.pdparams --image street.png --input-size 513,1025\n"
    "  ccnet-parity official.pth --port my_package.my_ccnet:build --port-weights my.pdparams\n"
    "\n\b\nOther forms, each with its own --help:\n"
    "  ccnet-parity compare DIR_A DIR_B    two dumps, even of two machines\n"
    "  ccnet-parity mutants                the proof that the harness can fail\n"
    "  ccnet-parity certify [SOURCE TARGET]  every alignment point, and a certificate\n"
    "  ccnet-parity verify CERTIFICATE     whether a certificate speaks of a file\n"
    "\n\nExit code: 0 agreement, 1 the frameworks disagree, 2 bad input."
)
@click.argument("source", type=PathType, required=False)
@click.argument("target", type=PathType, required=False)
@click.option("--layer-by-layer", is_flag=True, help="Compare every layer, not only the network's outputs.")
@click.option(
    "--mode",
    type=click.Choice(["free", "isolated", "both"]),
    default="both",
    show_default=True,
    help="Of layers: as they come, each from torch's input, or both.",
)
@click.option("--dtype", type=click.Choice(["float64", "float32", "both"]), default="both", show_default=True)
@click.option(
    "--input-size", callback=parse_size, metavar="H[,W]", help="One input of this size instead of the default ones."
)
@click.option("--image", type=PathType, help="A picture as input, preprocessed as the family says.")
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention. [default: TARGET's or 2]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of inputs and stand-in weights.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--port", metavar="MODULE:FUNCTION", help="Compare this port: a function that returns a Paddle layer.")
@click.option("--port-weights", type=PathType, help="The port's weights (.pdparams), by its own names.")
@click.option("--mapping", type=PathType, help="JSON object of torch path to the port's path.")
@click.option("--accept", multiple=True, metavar="GLOB", help="Accept the gaps of these layers or parameters.")
@click.option("--only", multiple=True, metavar="GLOB", help="Compare only these layers.")
@click.option("--skip", multiple=True, metavar="GLOB", help="Do not compare these layers.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--bisect", is_flag=True, help="Stop at the first guilty layer, in float64: one pass, for large inputs.")
@click.option("--dump", type=PathType, metavar="DIR", help="Write every layer's output here.")
@click.option("--export-repro", type=PathType, metavar="DIR", help="Write the guilty layer alone, with a script.")
@click.option("--report", type=PathType, metavar="DIR", help="Write report.json and report.html here.")
@family_option
@json_option
@reports_errors
def parity(as_json: bool, **options: Any) -> None:
    """Compare the torch twin with SOURCE's weights and the Paddle twin with TARGET's, in float32 and float64.

    Without files, stand-in weights are made and converted. No checkpoint contains its recurrence: unless
    given here or when TARGET was converted, it is 2. With --port, TARGET is left out.
    """
    from parity.command import Options, run

    if (options["source"] is None) != (options["target"] is None) and options["port"] is None:
        raise click.UsageError("give SOURCE and TARGET, or neither")
    with phases() as progress:
        report = run(Options(progress=progress, **options))
    _finish(report, as_json=as_json)


@click.command(epilog="\b\nExample:\n  ccnet-parity compare dump/paddle dump/torch\n\n\nExit code: as ccnet-parity.")
@click.argument("actual", type=PathType)
@click.argument("expected", type=PathType)
@json_option
@reports_errors
def compare(actual: Path, expected: Path, as_json: bool) -> None:
    """Compare the dump ACTUAL with the dump EXPECTED (folders that --dump wrote)."""
    from parity.dump import compare_dumps

    _finish(compare_dumps(actual, expected), as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity mutants\n"
    "  ccnet-parity mutants missing-diagonal-mask --depth 101\n"
    "\n\nExit code: 0 every mistake was caught in its layer and every equivalent was silent, 1 otherwise."
)
@click.argument("names", nargs=-1)
@click.option("--depth", type=click.Choice(["18", "50", "101"]), default="18", show_default=True, help="Of the twins.")
@json_option
@reports_errors
def mutants(names: tuple[str, ...], depth: str, as_json: bool) -> None:
    """Make deliberate mistakes in the Paddle twin, one at a time, and see each caught and pinned to its layer.

    Equivalent rewrites, which must raise no alarm, follow. NAMES choose entries; all by default.
    """
    from parity.mutants.run import run_catalogue
    from parity.mutants.tables import print_outcomes

    with phases() as progress:
        outcomes = run_catalogue(depth=int(depth), names=names, progress=progress)
    if as_json:
        click.echo(json.dumps([outcome.to_json() for outcome in outcomes]))
    else:
        print_outcomes(outcomes)
    sys.exit(0 if all(outcomes) else 1)


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-eval cityscapes/ --torch official.pth --paddle out.pdparams\n"
    "  ccnet-eval cityscapes/ --paddle out.pdparams --scales 0.75,1.0,1.25 --flip --report report/\n"
    "  ccnet-eval --make-dataset generated/ --count 16,8 --size 512,1024\n"
    "  torchrun --nproc-per-node 4 $(which ccnet-eval) cityscapes/ --torch official.pth --device gpu\n"
    "\n\nExit code: 0 success, 1 the frameworks differ where rounding does not explain it, 2 bad input."
)
@click.argument("root", type=PathType, required=False)
@click.option("--torch", type=PathType, metavar="FILE", help="Weights of the torch twin, in any format and keys.")
@click.option("--paddle", type=PathType, metavar="FILE", help="Weights of the Paddle twin, in any format and keys.")
@click.option(
    "--protocol", type=click.Choice(["official", "paddleseg", "mmseg"]), help="Whose. [default: the weights' family's]"
)
@click.option("--split", default="val", show_default=True, metavar="NAME")
@click.option("--whole", is_flag=True, help="Whole pictures. [default: as the protocol has it]")
@click.option("--slide", type=click.IntRange(8), metavar="N", help="Windows of N × N pixels. [default: as --whole]")
@click.option("--overlap", callback=parse_overlap, metavar="SHARE", help="Of neighbouring windows. [default: 1/3]")
@click.option(
    "--scales", callback=parse_scales, default="1.0", show_default=True, metavar="LIST", help="Averaged over."
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
    help="To generate.",
)
@click.option("--size", callback=parse_size, metavar="H[,W]", help="Of what is generated. [default: 1024,2048]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what is generated.")
@family_option
@json_option
@reports_errors
def evaluate(
    root: Path | None,
    make_dataset: Path | None,
    counts: dict[str, int],
    size: tuple[int, int] | None,
    seed: int,
    as_json: bool,
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
    from evaluation.command import Options, run

    result, group = run(Options(root=root, **options))
    if group.leads:
        _print_evaluation(result, as_json=as_json)
    sys.exit(0 if result else 1)


def _make_dataset(folder: Path, **options: Any) -> None:
    from evaluation.generate import make_dataset

    with phases() as progress:
        make_dataset(folder, progress=progress, **options)
    click.echo(f"{folder}: {' and '.join(f'{n} {split}' for split, n in options['counts'].items())} pictures generated")


def _print_evaluation(result: Any, *, as_json: bool) -> None:
    from evaluation.tables import print_result

    if as_json:
        click.echo(json.dumps(result.to_json(), allow_nan=False))
    else:
        print_result(result)


def _finish(report: Any, *, as_json: bool) -> None:
    from parity.tables import print_report

    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        print_report(report)
    sys.exit(0 if report else 1)


def split_names(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """`a,b` and `a` `b` alike."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity certify\n"
    "  ccnet-parity certify official.pth out.pdparams --cityscapes cityscapes/ --report report/\n"
    "  ccnet-parity certify official.pth out.pdparams --gates loss,backward,training --steps 40\n"
    "  ccnet-parity certify official.pth --port my_package.my_ccnet:build --port-weights my.pdparams\n"
    "\n\nExit code: 0 certified, 1 not certified or incomplete, 2 bad input."
)
@click.argument("source", type=PathType, required=False)
@click.argument("target", type=PathType, required=False)
@click.option("--cityscapes", type=PathType, metavar="ROOT", help="A data set in Cityscapes' layout. [default: made]")
@click.option("--steps", type=click.IntRange(5), default=20, show_default=True, metavar="N", help="Of training.")
@click.option("--gates", multiple=True, callback=split_names, metavar="NAME,…", help="Run these gates only.")
@click.option("--skip", multiple=True, callback=split_names, metavar="NAME,…", help="Leave these gates out.")
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention. [default: TARGET's or 2]")
@click.option(
    "--depth", type=click.Choice(["18", "50", "101"]), default="101", show_default=True, help="Of stand-in weights."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of inputs and stand-in weights.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--port", metavar="MODULE:FUNCTION", help="Certify this port: a function that returns a Paddle layer.")
@click.option("--port-weights", type=PathType, help="The port's weights (.pdparams), by its own names.")
@click.option("--mapping", type=PathType, help="JSON object of torch path to the port's path.")
@click.option(
    "--report", type=PathType, default=Path(), metavar="DIR", help="Write certificate.json and .html here. [default: .]"
)
@family_option
@json_option
@reports_errors
def certify(as_json: bool, depth: str, **options: Any) -> None:
    """Certify that TARGET trains, evaluates and exports as SOURCE does: every alignment point, gate by gate.

    Without files, stand-in weights are made and converted; without --cityscapes, a small data set is generated.
    A run that was interrupted goes on where it stopped when it is started again with the same --report.
    """
    from parity.certify.run import Options
    from parity.certify.run import certify as run_gates
    from parity.certify.tables import print_certificate

    if (options["source"] is None) != (options["target"] is None) and options["port"] is None:
        raise click.UsageError("give SOURCE and TARGET, or neither")
    with phases() as progress:
        certificate = run_gates(Options(depth=int(depth), progress=progress, **options))
    if as_json:
        click.echo(json.dumps(certificate.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        print_certificate(certificate)
    sys.exit(0 if certificate else 1)


@click.command(
    epilog="\b\nExample:\n  ccnet-parity verify certificate.json --weights out.pdparams\n"
    "\n\nExit code: 0 the certificate speaks of this file and certifies it, 1 it does not, 2 bad input."
)
@click.argument("certificate", type=PathType)
@click.option("--weights", type=PathType, required=True, metavar="FILE", help="The file in question.")
@json_option
@reports_errors
def verify(certificate: Path, weights: Path, as_json: bool) -> None:
    """Tell whether CERTIFICATE speaks of a weights file, by its SHA-256, and what it says."""
    from parity.certify.certificate import verify as look_up

    found = look_up(certificate, weights)
    click.echo(json.dumps(found.to_json()) if as_json else found.sentence)
    sys.exit(0 if found else 1)


SUBCOMMANDS = {"certify": certify, "compare": compare, "mutants": mutants, "verify": verify}


def parity_main() -> None:
    """`ccnet-parity`: a subcommand if the first word is one, else the plain form."""
    arguments = sys.argv[1:]
    command = SUBCOMMANDS.get(arguments[0]) if arguments else None
    if command is not None:
        command.main(arguments[1:], prog_name=f"ccnet-parity {arguments[0]}")
    parity.main(arguments, prog_name="ccnet-parity")


def seg_main() -> None:
    """`ccnet-seg`: PaddleSeg's tools on the port."""
    from seg.command import seg

    seg.main(prog_name="ccnet-seg")
