"""The four commands, and which subcommand a line means."""

from __future__ import annotations

import sys

from ccnet_cli.certify import certify, verify
from ccnet_cli.convert import convert
from ccnet_cli.doctor import doctor
from ccnet_cli.evaluate import evaluate
from ccnet_cli.parity import compare, mutants, parity

__all__ = ["convert", "evaluate", "parity_main", "seg_main"]

SUBCOMMANDS = {"certify": certify, "compare": compare, "doctor": doctor, "mutants": mutants, "verify": verify}


def parity_main() -> None:
    """`ccnet-parity`: a subcommand if the first word is one, else the plain form."""
    arguments = sys.argv[1:]
    command = SUBCOMMANDS.get(arguments[0]) if arguments else None
    if command is not None:
        command.main(arguments[1:], prog_name=f"ccnet-parity {arguments[0]}")
    parity.main(arguments, prog_name="ccnet-parity")


def seg_main() -> None:
    """`ccnet-seg`: PaddleSeg's tools on the port."""
    from ccnet_cli.seg import seg

    seg.main(prog_name="ccnet-seg")
