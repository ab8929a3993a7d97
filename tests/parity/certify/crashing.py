"""Workers that do not end well: `python -m tests.parity.certify.crashing KIND`."""

from __future__ import annotations

import os
import signal
import sys
import threading


def main(kind: str) -> None:
    print("--- Running PIR pass [first_pass]")
    print("--- Running PIR pass [guilty_fuse_pass]", flush=True)
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "hang":
        threading.Event().wait()
    elif kind == "raise":
        raise SystemExit("the reason")


if __name__ == "__main__":
    main(sys.argv[1])
