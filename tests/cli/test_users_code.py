"""The user's code is his own: his folders named as ours, his path, his prints, his exits, and what he raises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.cli.run import assert_one_line_error, call, run
from tests.cli.users_project import NAMES, PORT, REFERENCE, make_folders, write
from twins import namespaces
from twins.standin import make_state_dict, save_state_dict

REFERENCE_SPEC = "my_reference.py:build"
EXACT = ("--input-size", "17,13", "--dtype", "float64")
SCRIPTS = ("ccnet-convert", "ccnet-parity", "ccnet-eval", "ccnet-seg")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Iterator[Path]:
    """The working directory, with a reference and a port; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(namespaces, "_hidden", {})
    known = set(sys.modules)
    write(tmp_path / "my_reference.py", REFERENCE)
    write(tmp_path / "my_port.py", PORT)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def compare(port: str, *options: object, reference: str = REFERENCE_SPEC) -> subprocess.CompletedProcess[str]:
    return call("ccnet-parity", "--reference", reference, "--port", port, *EXACT, *options)


def assert_passes(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PASSED" in result.stdout


@pytest.fixture(scope="module", params=[True, False], ids=["packages", "folders"])
def crowded(request, tmp_path_factory) -> Path:
    """A working directory with folders of all our names."""
    root = tmp_path_factory.mktemp("crowded")
    make_folders(root, packages=request.param)
    return root


@pytest.mark.parametrize("command", SCRIPTS)
@pytest.mark.parametrize("on_path", [True, False])
def test_folders_named_as_ours_do_not_break_the_scripts(crowded, command, on_path):
    environment = {"PYTHONPATH": "."} if on_path else {}
    result = run(command, "--help", cwd=crowded, env={"PATH": "/usr/bin:/bin", **environment})
    assert result.returncode == 0, result.stderr
    assert "Exit code" in result.stdout


def test_folders_named_as_ours_do_not_break_what_the_commands_do(tmp_path):
    """All four, with `PYTHONPATH=.`, up to the frameworks, the other commands and the pages that they write."""
    make_folders(tmp_path, packages=True)
    save_state_dict(tmp_path / "official.pth", make_state_dict("official", depth=18))
    outputs = []
    for line in (
        "ccnet-convert official.pth out.pdparams --recurrence 1",
        "ccnet-parity official.pth out.pdparams --input-size 33,41 --dtype float64 --report report",
        "ccnet-eval --make-dataset data",
        "ccnet-seg infer --help",
    ):
        result = run(*line.split(), cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "."})
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert "every name and shape is the Paddle twin's" in outputs[0]
    assert "PASSED" in outputs[1]
    assert (tmp_path / "report" / "report.html").is_file()
    result = run("ccnet-seg", "val", "--config", "no.yml", cwd=tmp_path, env={"PATH": "/bin", "PYTHONPATH": "."})
    assert_one_line_error(result, 2, "no.yml", "no such file")


def test_worker_is_ours_whatever_the_working_directory_has(crowded):
    """The processes that the gates start."""
    line = [sys.executable, namespaces.__file__, "ccnet_cli", "convert", "--help"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "."}
    result = subprocess.run(line, cwd=crowded, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "SOURCE" in result.stdout


@pytest.mark.parametrize("packages", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_port_and_reference_find_their_own_helpers(project, name, packages):
    """At import, within the forward pass, and by `importlib`."""
    if packages:
        write(project / name / "__init__.py", "")
    write(project / name / "helpers.py", "SLOPE = 0.01\nWHOSE = 'mine'\n")
    lazily = f"""
            import importlib
            from {name}.helpers import WHOSE
            import {name}.helpers as helpers
            assert WHOSE == "mine" and importlib.import_module("{name}.helpers") is helpers
    """
    for file, text in (("my_reference.py", REFERENCE), ("my_port.py", PORT)):
        text = text.replace("(self, x):", "(self, x):" + lazily.rstrip().replace("\n    ", "\n"))
        write(project / file, f"from {name}.helpers import SLOPE\n" + text.replace("0.01", "SLOPE"))
    assert_passes(compare("my_port.py:build"))
    assert namespaces.__name__ == "twins.namespaces"
    assert sys.modules["twins"].__file__ == str(namespaces.ROOT / "twins" / "__init__.py")


def test_a_folder_of_folders_is_the_users(project):
    write(project / "twins" / "tools" / "helpers.py", "SLOPE = 0.01\n")
    write(project / "my_port.py", "from twins.tools.helpers import SLOPE\n" + PORT)
    assert_passes(compare("my_port.py:build"))


def test_a_folder_of_data_is_no_module_of_the_users(project):
    """A port may use ours: here, from a folder that keeps files in `models_paddle`."""
    write(project / "models_paddle" / "weights.txt", "")
    write(project / "my_port.py", "from models_paddle import build_ccnet\nassert build_ccnet\n" + PORT)
    assert_passes(compare("my_port.py:build"))


@pytest.mark.parametrize(
    "name", ["json", "random", "signal", "numpy", "paddle", "cli", "converter", "parity", "recipe"]
)
def test_port_in_a_file_named_as_something_known(project, name):
    write(project / f"{name}.py", PORT)
    assert_passes(compare(f"{name}.py:build"))


def test_port_in_a_module_named_as_one_of_ours(project):
    write(project / "recipe.py", PORT)
    assert_passes(compare("recipe:build"))


def test_port_in_a_file_of_a_package(project):
    """Its relative imports, and its package's absolute ones, find what is around it."""
    for folder in ("nets", "nets/heads"):
        write(project / "work" / folder / "__init__.py", "")
    write(project / "work" / "nets" / "settings.py", "SLOPE = 0.01\n")
    write(project / "work" / "nets" / "heads" / "layers.py", "from nets.settings import SLOPE\n")
    text = "from ..settings import SLOPE as same\nfrom .layers import SLOPE\n" + PORT.replace("0.01", "SLOPE")
    write(project / "work" / "nets" / "heads" / "port.py", text)
    assert_passes(compare("work/nets/heads/port.py:build"))


def test_files_beside_each_other_in_two_folders(project):
    """Both are called `net.py` and both import their own `common`."""
    for folder, text in (("ours", REFERENCE), ("theirs", PORT)):
        write(project / folder / "net.py", f"from common_{folder} import SLOPE\n" + text.replace("0.01", "SLOPE"))
        write(project / folder / f"common_{folder}.py", "SLOPE = 0.01\n")
    assert_passes(compare("theirs/net.py:build", reference="ours/net.py:build"))


@pytest.mark.parametrize(
    "change",
    [
        "sys.path.insert(0, FOLDER)",
        "sys.path.append(FOLDER)",
        "sys.path = [FOLDER, *sys.path]",
        "sys.path.remove(sys.path[0]); sys.path.insert(0, FOLDER)",
        "sys.path[:] = [FOLDER]",
    ],
)
def test_port_that_changes_the_path(project, change):
    write(project / "library" / "own_slope.py", "SLOPE = 0.01\n")
    head = f"import sys\nimport paddle\nFOLDER = {str(project / 'library')!r}\n{change}\nfrom own_slope import SLOPE\n"
    write(project / "my_port.py", head + PORT.replace("0.01", "SLOPE"))
    assert_passes(compare("my_port.py:build"))


def test_port_that_changes_the_working_directory(project):
    """The reference is named from where the command was called, and so is the report."""
    write(project / "library" / "own_slope.py", "SLOPE = 0.01\n")
    head = "import os\nos.chdir('library')\nexec(open('own_slope.py').read())\n"
    write(project / "my_port.py", head + PORT.replace("0.01", "SLOPE"))
    assert_passes(compare("my_port.py:build", "--report", "report"))
    assert (project / "report" / "report.html").is_file()


def test_json_stays_json_whatever_the_port_prints(project):
    """At import, in `build` and in the forward pass; by Python, by a child process and by the descriptor."""
    loud = "import os\nimport sys\nprint('importing')\nsys.__stdout__.write('directly\\n')\nos.system('echo a child')\n"
    text = PORT.replace("(self, x):\n", "(self, x):\n        print('running')\n        os.write(1, b'bytes')\n")
    write(project / "my_port.py", loud + text.replace("    return Net()", "    print('building')\n    return Net()"))
    words = ("--reference", REFERENCE_SPEC, "--port", "my_port.py:build", *EXACT, "--json")
    result = run("ccnet-parity", *words, cwd=project)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["passed"] is True
    for said in ("importing", "directly", "a child", "building", "running", "bytes"):
        assert said in result.stderr


BUILD, RUN = "cannot build it", "cannot run it"


@pytest.mark.parametrize(
    ("statement", "where", "words"),
    [
        ("sys.exit(3)", "import", [BUILD, "it exits with 3"]),
        ("sys.exit('no weights')", "build", [BUILD, "it exits with no weights"]),
        ("sys.exit()", "forward", [RUN, "it exits with 0"]),
        ("raise ValueError('two\\nlines')", "build", [BUILD, "ValueError: two lines"]),
        ("[][1]", "forward", [RUN, "IndexError: list index out of range"]),
        ("import no_such_module", "import", [BUILD, "No module named 'no_such_module'"]),
        ("from json import no_such_name", "forward", [RUN, "ImportError: cannot import name 'no_such_name'"]),
        ("nn.Conv2D(3, 3, 3)(1)", "build", [BUILD]),
    ],
)
@pytest.mark.parametrize("side", ["--reference", "--port"])
def test_what_the_users_code_raises_is_one_line(project, statement, where, words, side):
    """That names the side, his file and his line."""
    text = (
        PORT if side == "--port" else REFERENCE.replace("Conv2d(3, 4", "Conv2d(3, 4").replace("import nn", "import nn")
    )
    statement = statement if side == "--port" else statement.replace("Conv2D", "Conv2d")
    place = {"import": "import sys\n", "build": "def build():\n", "forward": "(self, x):\n"}[where]
    indent = {"import": "", "build": "    ", "forward": "        "}[where]
    text = ("import sys\n" + text).replace(place, f"{place}{indent}{statement}\n")
    path = write(project / f"failing{side.replace('-', '_')}.py", text)
    specs = {"--reference": REFERENCE_SPEC, "--port": "my_port.py:build", side: f"{path.name}:build"}
    result = call("ccnet-parity", *(word for pair in specs.items() for word in pair), *EXACT)
    line = text[: text.index(statement)].count("\n") + 1
    assert_one_line_error(result, 2, f"{side} {path.name}:build: {words[0]} (", f", {path.name}:{line})", *words)


def test_syntax_error_of_the_users_is_one_line(project):
    write(project / "my_port.py", "def build(:\n")
    assert_one_line_error(compare("my_port.py:build"), 2, "--port my_port.py:build: cannot build it (SyntaxError: ")


@pytest.mark.parametrize(
    "wrapping",
    ["paddle.jit.to_static(Net())", "paddle.jit.to_static(Net(), full_graph=True)", "with_forward(Net())"],
)
def test_port_wrapped_by_to_static_is_compared(project, wrapping):
    text = PORT.replace("return Net()", f"return {wrapping}") + dedent(
        """

        def with_forward(net):
            net.forward = paddle.jit.to_static(net.forward)
            return net
        """
    )
    write(project / "my_port.py", text)
    assert_passes(compare("my_port.py:build"))


def test_port_that_casts_inside(project):
    """It cannot run in float64, which is one line; in float32 it is compared."""
    write(project / "my_port.py", PORT.replace("self.conv(x)", "self.conv(x.astype('float32'))"))
    assert_one_line_error(compare("my_port.py:build"), 2, "--port my_port.py:build: cannot run it (", "my_port.py:13)")
    assert_passes(compare("my_port.py:build", "--dtype", "float32"))


def test_reproduction_of_a_port_in_a_file_of_a_package(project):
    """The script finds both files again from where it was written, relative imports and own `converter` included."""
    write(project / "converter" / "helpers.py", "SLOPE = 0.01\n")
    write(project / "my_reference.py", "from converter.helpers import SLOPE\n" + REFERENCE)
    write(project / "nets" / "__init__.py", "")
    write(project / "nets" / "settings.py", "EPSILON = 1e-3\n")
    wrong = PORT.replace("BatchNorm2D(4)", "BatchNorm2D(4, epsilon=EPSILON)")
    write(project / "nets" / "port.py", "from .settings import EPSILON\n" + wrong)
    assert compare("nets/port.py:build", "--export-repro", "repro").returncode == 1
    environment = {"PYTHONPATH": str(namespaces.ROOT), "PATH": "/usr/bin:/bin"}
    script = [sys.executable, "repro.py"]
    ended = subprocess.run(script, cwd=project / "repro", env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    ours, theirs = (float(line.rpartition(" ")[2]) for line in ended.stdout.splitlines()[-2:])
    assert ours < 1e-12
    assert theirs > 1e-5


def test_inputs_of_the_users_own(project):
    """Two arguments by name, from a function in a file; integers stay integers."""
    write(
        project / "my_reference.py",
        dedent("""
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding, self.fc = nn.Embedding(7, 5), nn.Linear(5, 3)

            def forward(self, words, scale):
                assert words.dtype == torch.int64
                return self.fc(self.embedding(words)) * scale

        def build():
            torch.manual_seed(0)
            return Net()
    """),
    )
    write(
        project / "my_port.py",
        dedent("""
        from paddle import nn

        class Net(nn.Layer):
            def __init__(self):
                super().__init__()
                self.embedding, self.fc = nn.Embedding(7, 5), nn.Linear(5, 3)

            def forward(self, words, scale):
                return self.fc(self.embedding(words)) * scale

        def build():
            return Net()
    """),
    )
    write(
        project / "my_inputs.py",
        dedent("""
        import numpy as np

        def make():
            print("making")
            return {"scale": np.linspace(1, 2, 3), "words": np.arange(8).reshape(2, 4) % 7}

        def make_text():
            return np.array(["a"])
    """),
    )
    specs = ("--reference", REFERENCE_SPEC, "--port", "my_port.py:build")
    assert_passes(call("ccnet-parity", *specs, "--inputs", "my_inputs.py:make", "--dtype", "float64"))
    result = call("ccnet-parity", *specs, "--inputs", "my_inputs.py:make_text")
    assert_one_line_error(result, 2, "--inputs my_inputs.py:make_text", "not arrays of numbers")


LIBRARY = """
import os, sys
import paddle, torch  # what they change themselves is theirs
before, called = dict(os.environ), []
from twins import processor
processor.call_allocator = lambda *call: called.append(call)
import converter, cityscapes, models_paddle, models_torch, parity
from parity import compare_models, Report
from converter import read_checkpoint
from parity.networks.port import load_port
import parity.certify.run, parity.command
sys.exit(f"{called} {set(os.environ.items()) ^ set(before.items())}" if called or dict(os.environ) != before else 0)
"""


def test_importing_ours_as_a_library_changes_nothing():
    result = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
