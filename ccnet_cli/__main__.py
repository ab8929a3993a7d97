"""`python -m ccnet_cli convert|eval|parity|seg …`: the commands, where their scripts are not on the path."""

from __future__ import annotations

import sys

from ccnet_cli import start

COMMANDS = {"convert": start.convert, "eval": start.evaluate, "parity": start.parity, "seg": start.seg}

if __name__ == "__main__":
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        print(f"usage: python -m ccnet_cli {'|'.join(COMMANDS)} …", file=sys.stderr)
        sys.exit(2)
    COMMANDS[name]()
