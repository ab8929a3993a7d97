"""Where the console scripts begin: with our names claimed, whatever the working directory and `PYTHONPATH` hold.

The one module that is found by `sys.path` alone, so its folder has a name that no project has. Signals and streams are
settled before anything large is imported.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ccnet_cli.interruption import INTERRUPTION


def convert() -> None:
    """`ccnet-convert`."""
    _run("convert_main")


def evaluate() -> None:
    """`ccnet-eval`."""
    _run("evaluate_main")


def parity() -> None:
    """`ccnet-parity`."""
    _run("parity_main")


def seg() -> None:
    """`ccnet-seg`."""
    _run("seg_main")


def _run(name: str) -> None:
    """Run the command and end the process: what the interpreter does after that takes no signal any more, and long."""
    INTERRUPTION.install("interrupted")
    from ccnet_cli.home import settle_home
    from ccnet_cli.streams import finish, guard_streams

    output, _ = guard_streams()
    code = 0
    try:
        with INTERRUPTION.waiting():
            settle_home()
            command = _command(name)
        command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        if INTERRUPTION.number:  # which click may have been the first to hear of
            code = INTERRUPTION.exit_code
    except KeyboardInterrupt:  # before the command began, or after it ended
        print(f"error: {INTERRUPTION.message}", file=sys.stderr)
        code = INTERRUPTION.exit_code
    except BaseException:  # noqa: BLE001 - a fault of ours, shown as the interpreter would
        import traceback

        traceback.print_exc()
        code = 1
    code = finish(output, code)
    INTERRUPTION.end(code)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the interpreter would
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)


def _command(name: str) -> Callable[[], Any]:
    root = str(Path(__file__).resolve().parents[1])
    sys.path.insert(0, root)
    from twins import namespaces

    sys.path.remove(root)
    namespaces.claim()
    from ccnet_cli import main

    command: Callable[[], Any] = getattr(main, name)
    return command
