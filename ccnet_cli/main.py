"""The four commands, and which subcommand a line means."""

from __future__ import annotations

import os
import sys

import click

from ccnet_cli.certify import certify, verify
from ccnet_cli.convert import convert
from ccnet_cli.doctor import doctor
from ccnet_cli.evaluate import evaluate
from ccnet_cli.parity import compare, mutants, parity
from ccnet_cli.record import record

__all__ = ["convert", "convert_main", "evaluate", "evaluate_main", "parity_main", "seg_main"]

SUBCOMMANDS = {
    "certify": certify,
    "compare": compare,
    "doctor": doctor,
    "mutants": mutants,
    "record": record,
    "verify": verify,
}
COMPLETION = "_CCNET_PARITY_COMPLETE"
"""What a shell sets that wants to know how a line goes on."""


def _add_version(*commands: click.Command) -> None:
    for command in commands:
        click.version_option(package_name="ccnet-parity", message="%(prog)s %(version)s")(command)


_add_version(convert, evaluate, parity, *SUBCOMMANDS.values())


def convert_main() -> None:
    """`ccnet-convert`, called so however it was started."""
    convert.main(prog_name="ccnet-convert")


def evaluate_main() -> None:
    """`ccnet-eval`, likewise."""
    evaluate.main(prog_name="ccnet-eval")


def parity_main() -> None:
    """`ccnet-parity`: a subcommand if the first word is one, else the plain form."""
    arguments = sys.argv[1:]
    words = os.environ.get("COMP_WORDS", "").split() if COMPLETION in os.environ else ["", *arguments]
    name = words[1] if len(words) > 1 else ""
    if name not in SUBCOMMANDS:
        parity.main(arguments, prog_name="ccnet-parity")
    if COMPLETION in os.environ:
        os.environ["COMP_WORDS"] = " ".join(words[1:])
        os.environ["COMP_CWORD"] = str(int(os.environ.get("COMP_CWORD", 1)) - 1)
    SUBCOMMANDS[name].main(arguments[1:], prog_name=f"ccnet-parity {name}", complete_var=COMPLETION)


def seg_main() -> None:
    """`ccnet-seg`: PaddleSeg's tools on the port."""
    from ccnet_cli.seg import seg

    _add_version(seg, *seg.commands.values())
    seg.main(prog_name="ccnet-seg")
