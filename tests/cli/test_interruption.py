"""SIGINT and SIGTERM end a process in one line, with 130 or 143, wherever they come; also where they are swallowed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BEGIN = """
import os, signal, sys
from ccnet_cli import interruption
from ccnet_cli.interruption import INTERRUPTION
INTERRUPTION.install("ended")
INTERRUPTION.removals = [lambda: print("removed", flush=True)]
number = int(sys.argv[1])
"""
CASES = {
    "swallowed in an import": ("import swallowing", "removed"),
    "raised": (
        """
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            print("raised")
            sys.stderr.write("error: ended\\n")
            sys.exit(INTERRUPTION.exit_code)
        """,
        "raised",
    ),
    "swallowed": (
        """
        try:
            os.kill(os.getpid(), number)
        except BaseException:
            pass
        try:
            INTERRUPTION.check()
        except KeyboardInterrupt:
            sys.stderr.write("error: ended\\n")
            sys.exit(INTERRUPTION.exit_code)
        """,
        "",
    ),
    "swallowed for good": (
        """
        interruption.GRACE = 0.1
        while True:
            try:
                os.kill(os.getpid(), number)
                while True:
                    pass
            except BaseException:
                pass
        """,
        "removed",
    ),
    "during Paddle's import": (
        """
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "paddle.nn":
                    os.kill(os.getpid(), number)
        with INTERRUPTION.waiting():
            import numpy
        sys.meta_path.insert(0, Finder)
        import models_paddle
        """,
        "removed",
    ),
    "twice": (
        """
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
            sys.stderr.write("error: ended\\n")
            sys.exit(INTERRUPTION.exit_code)
        """,
        "",
    ),
    "while others wait": (
        """
        try:
            with INTERRUPTION.waiting():
                os.kill(os.getpid(), number)
                print("waited")
        except KeyboardInterrupt:
            sys.stderr.write("error: ended\\n")
            sys.exit(INTERRUPTION.exit_code)
        """,
        "waited",
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_one_line_and_its_code(sent: signal.Signals, name: str, tmp_path: Path) -> None:
    body, printed = CASES[name]
    swallowing = f"import os\ntry:\n    os.kill(os.getpid(), {int(sent)})\nexcept BaseException:\n    pass\n"
    (tmp_path / "swallowing.py").write_text(swallowing)
    process = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(body), str(int(sent))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{tmp_path}"},
        timeout=60,
    )
    assert process.returncode == 128 + sent, process.stderr
    assert process.stderr == "error: ended\n"
    assert process.stdout.strip() == printed


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_before_the_commands_own_code(sent: signal.Signals) -> None:
    """Where click is the first to hear of it."""
    body = """
    import os, sys
    from ccnet_cli import main, start

    @main.click.command()
    @main.click.option("--now", callback=lambda *_, number=int(sys.argv[1]): os.kill(os.getpid(), number))
    def command(now):
        pass

    main.convert, sys.argv[1:] = command, []
    start.convert()
    """
    words = [sys.executable, "-c", textwrap.dedent(body), str(int(sent))]
    process = subprocess.run(words, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=60)
    assert (process.returncode, len(process.stderr.split("\n"))) == (128 + sent, 3), process.stderr


def test_a_home_of_its_own_goes_too(tmp_path: Path) -> None:
    (tmp_path / "swallowing.py").write_text("import os\nos.kill(os.getpid(), 15)")
    body = "from ccnet_cli.home import settle_home; settle_home(); import swallowing"
    process = subprocess.run(
        [sys.executable, "-c", BEGIN + body, "15"],
        check=False,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{tmp_path}", "HOME": "/nowhere", "TMPDIR": str(tmp_path)},
        timeout=60,
    )
    assert process.returncode == 143
    assert not list(tmp_path.glob("ccnet-parity-home-*"))


def test_a_forked_worker_ends_without_a_word() -> None:
    body = """
    child = os.fork()
    if not child:
        os.kill(os.getpid(), number)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    process = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(body), "15"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert (process.stdout, process.stderr) == ("143\n", "")
