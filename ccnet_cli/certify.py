"""`ccnet-parity certify` and `verify`."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import click

from ccnet_cli.common import (
    Command,
    PathType,
    family_option,
    json_option,
    phases,
    reading_options,
    reports_errors,
    say_above,
)
from converter.names import count
from recipe.recipe import LOSSES


def split_names(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """`a,b` and `a` `b` alike; `learning-rate` is `learning rate`."""
    return tuple(name.strip().replace("-", " ") for value in values for name in value.split(",") if name.strip())


PARTS = {
    "preprocess": ("preprocessing", "takes RGB pixels (H, W, 3) uint8, returns (3, H, W)"),
    "loss": ("loss", "takes (outputs, labels), returns a scalar tensor"),
    "optimiser": ("optimiser", "takes parameters (and a schedule), returns an optimiser"),
    "schedule": ("schedule", "takes nothing, returns the framework's schedule; or takes a step, returns its rate"),
    "loader": ("loader", "takes a folder in Cityscapes' layout, returns training batches (images, labels)"),
    "metric": ("metric", "takes class numbers (predictions, labels), returns the mIoU or a confusion matrix"),
}
"""Option -> part, and what its function takes and returns."""


def part_options(command: Command) -> Command:
    """The options that name the functions of either side's parts, given to the command as two dictionaries."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        named = {
            side: {
                part: spec
                for option, (part, _) in PARTS.items()
                if (spec := kwargs.pop(f"{prefix}{option}")) is not None
            }
            for side, prefix in (("parts", ""), ("reference_parts", "reference_"))
        }
        return command(*args, **named, **kwargs)

    decorated: Any = wrapper
    for option, (part, what) in reversed(PARTS.items()):
        for prefix, text in (
            ("reference-", f"The reference's own {part}, likewise, in place of its family's."),
            ("", f"The port's own {part}: a function that {what}."),
        ):
            names = [f"--{prefix}{option}", *([f"--{prefix}optimizer"] if option == "optimiser" else [])]
            name = f"{prefix}{option}".replace("-", "_")
            decorated = click.option(*names, name, metavar="MODULE:FUNCTION", help=text)(decorated)
    return decorated  # type: ignore[no-any-return]


@click.command(
    epilog="\b\nExamples:\n"
    "  ccnet-parity certify\n"
    "  ccnet-parity certify official.pth out.pdparams --cityscapes cityscapes/ --report report/\n"
    "  ccnet-parity certify official.pth out.pdparams --gates loss,backward,training --steps 40\n"
    "  ccnet-parity certify official.pth --port my_package.my_ccnet:build --port-weights my.pdparams\n"
    "  ccnet-parity certify official.pth --config my.yml --port-weights my.pdparams\n"
    "  ccnet-parity certify official.pth --port my_ccnet.py:build --loss my_train.py:loss --optimiser my_train.py:sgd\n"
    "\n\nExit code: 0 certified, or every gate asked for passed; 1 not certified or incomplete; 2 bad input."
)
@click.argument("source", type=PathType, required=False)
@click.argument("target", type=PathType, required=False)
@click.option("--cityscapes", type=PathType, metavar="ROOT", help="A data set in Cityscapes' layout. [default: made]")
@click.option(
    "--steps", type=click.IntRange(5), default=20, show_default=True, metavar="N", help="Steps of the training gate."
)
@click.option("--gates", multiple=True, callback=split_names, metavar="NAME,…", help="Run these gates only.")
@click.option("--skip", multiple=True, callback=split_names, metavar="NAME,…", help="Leave these gates out.")
@click.option("--recurrence", type=click.IntRange(0), metavar="N", help="Passes of attention. [default: TARGET's or 2]")
@click.option(
    "--depth",
    type=click.Choice(["18", "50", "101"]),
    default="101",
    show_default=True,
    help="Depth of the stand-in networks.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the inputs and the stand-in weights."
)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--keep-tf32", is_flag=True, help="On a GPU, keep TF32 as the frameworks have it. [default: off]")
@click.option("--junit", type=PathType, metavar="FILE", help="Write the gates as JUnit XML here.")
@click.option(
    "--reference",
    metavar="MODULE:FUNCTION",
    help="Certify against this torch module of yours, with SOURCE under its own keys; --family gives the recipe.",
)
@click.option("--port", metavar="MODULE:FUNCTION", help="Certify this port: a function that returns a Paddle layer.")
@click.option(
    "--config",
    type=PathType,
    help="Certify what this PaddleSeg config (.yml) describes: model, losses, optimiser, schedule, transforms.",
)
@click.option("--port-weights", type=PathType, help="The port's weights (.pdparams), by its own names.")
@click.option("--mapping", type=PathType, help="JSON object of the reference's path to the port's path.")
@part_options
@click.option(
    "--recipe",
    "loss_recipe",
    type=click.Choice(list(LOSSES)),
    help="The published loss that the port's own is held against. [default: the nearest]",
)
@click.option(
    "--reprod-log",
    type=PathType,
    metavar="DIR",
    help="Write here what the reproduction guide asks for: ten .npy files and five logs of what the gates compared.",
)
@click.option(
    "--report", type=PathType, default=Path(), metavar="DIR", help="Write certificate.json and .html here. [default: .]"
)
@click.option("--sign", type=PathType, metavar="KEY", help="Sign the certificate with this SSH key, by ssh-keygen.")
@family_option
@reading_options
@json_option
@reports_errors("interrupted; the same command goes on after the last gate that ran")
def certify(
    as_json: bool, depth: str, junit: Path | None, reprod_log: Path | None, keep_tf32: bool, **options: Any
) -> None:
    """Certify that TARGET trains, evaluates and exports as SOURCE does: every alignment point, gate by gate.

    Without files, stand-in weights are made and converted; without --cityscapes, a small data set is generated.
    A run that was interrupted goes on where it stopped when it is started again with the same --report.
    """
    from parity.certify.hand_in import write_hand_in
    from parity.certify.run import Options, choose, estimate_minutes
    from parity.certify.run import certify as run_gates
    from parity.certify.tables import print_certificate
    from parity.environment.switches import without_tf32
    from parity.reports.folder import try_outputs
    from parity.reports.junit import write_certificate_junit

    if (
        (options["source"] is None) != (options["target"] is None)
        and options["port"] is None
        and options["config"] is None
    ):
        raise click.UsageError("give SOURCE and TARGET, or neither")
    if sys.stderr.isatty():
        chosen = choose(options["gates"], options["skip"])
        minutes = count(estimate_minutes(chosen, int(depth)), "minute")
        click.echo(f"{count(len(chosen), 'gate')}, about {minutes} on two cores", err=True)
        options["on_outcome"] = _say
    try_outputs(reprod_log, junit=junit)
    with phases() as progress, without_tf32(options["device"] == "gpu" and not keep_tf32):
        certificate = run_gates(
            Options(depth=int(depth), progress=progress, keep_arrays=reprod_log is not None, **options)
        )
    if junit is not None:
        write_certificate_junit(junit, certificate.to_json())
    if as_json:
        click.echo(json.dumps(certificate.to_json(), allow_nan=False))
    else:
        print_certificate(certificate)
    if reprod_log is not None:
        for line in write_hand_in(reprod_log, certificate.outcomes):
            click.echo(line, err=True)
    sys.exit(0 if certificate else 1)


def _say(outcome: Any) -> None:
    """A finished gate, above the progress bar."""
    if outcome.verdict != "not asked for":
        say_above(f"{outcome.name}: {outcome.verdict}, {outcome.seconds:.0f} s")


@click.command(
    epilog="\b\nExamples:\n  ccnet-parity verify certificate.json --weights out.pdparams\n"
    "  ccnet-parity verify certificate.json --weights out.pdparams --signers allowed_signers\n"
    "\n\nExit code: 0 the certificate speaks of this file, certifies it and nothing changed since, 1 else, 2 bad input."
)
@click.argument("certificate", type=PathType)
@click.option("--weights", type=PathType, required=True, metavar="FILE", help="The file in question.")
@click.option("--junit", type=PathType, metavar="FILE", help="Write the verification as JUnit XML here.")
@click.option("--signers", type=PathType, metavar="FILE", help="One of these must have signed it (ssh-keygen -Y).")
@json_option
@reports_errors()
def verify(certificate: Path, weights: Path, junit: Path | None, signers: Path | None, as_json: bool) -> None:
    """Tell whether CERTIFICATE speaks of a weights file, by its SHA-256, what it says, and what changed since."""
    from parity.certify.certificate import verify as look_up
    from parity.reports.folder import try_outputs
    from parity.reports.junit import write_verification_junit

    try_outputs(junit=junit)
    found = look_up(certificate, weights, signers)
    if junit is not None:
        write_verification_junit(junit, found.to_json())
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        from converter.console import wide_console

        lines = [found.sentence, *(f"changed since: {change}" for change in found.changed)]
        for line in lines + ([] if found.signer is None else [f"signed by {found.signer}"]):
            wide_console().print(line, soft_wrap=True, markup=False)
    sys.exit(0 if found else 1)
