"""`ccnet-eval`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.cityscapes.sets import image_path, make_small_set
from tests.cli.run import assert_one_line_error, call, run
from twins.standin import make_state_dict, save_state_dict

NAME = "ccnet_r101-d8_512x1024_80k_cityscapes_20200609.pth"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A generated set, an mmseg checkpoint and its conversion."""
    folder = tmp_path_factory.mktemp("eval")
    make_small_set(folder / "set", count=3)
    save_state_dict(folder / NAME, make_state_dict("mmseg", seed=0, depth=18))
    assert run("ccnet-convert", folder / NAME, folder / "out.pdparams", "--recurrence", 2).returncode == 0
    return folder


def test_both_frameworks_agree(files, tmp_path):
    arguments = ("--torch", files / NAME, "--paddle", files / "out.pdparams", "--limit", 2)
    outputs = ("--save-predictions", tmp_path / "predictions", "--report", tmp_path / "report")
    result = run("ccnet-eval", files / "set", *arguments, *outputs, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert {"images", "protocol", "torch", "paddle", "agreement", "published"} <= found.keys()
    assert (found["images"], found["protocol"]) == (2, "mmseg")
    assert found["agreement"]["unexplained_pixels"] == 0
    assert found["agreement"]["differing_pixels"] or found["agreement"]["miou_difference"] == 0
    assert found["settings"]["recurrence"] == 2
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == found
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    assert len(list((tmp_path / "predictions").rglob("*_pred_labelIds.png"))) == 4


def test_wrong_weights_are_a_failure(files, tmp_path):
    """The check of pixels has to see it: the weights are of one architecture, and both networks work."""
    state = pickle.loads((files / "out.pdparams").read_bytes())
    state["head.classifier.bias"] = state["head.classifier.bias"] + np.linspace(0, 0.5, 19, dtype=np.float32)
    wrong = tmp_path / "wrong.pdparams"
    wrong.write_bytes(pickle.dumps(state, protocol=4))
    shutil.copy(files / "out.manifest.json", tmp_path / "wrong.manifest.json")
    result = call("ccnet-eval", files / "set", "--torch", files / NAME, "--paddle", wrong, "--limit", 1)
    assert result.returncode == 1, result.stderr
    for word in ("FAILED", "unexplained", "not equal", "traffic light", "mIoU"):
        assert word in result.stdout


def test_one_framework_with_every_option(files):
    views = ("--slide", 48, "--overlap", "1/4", "--scales", "0.75,1.25", "--flip", "--workers", 1, "--recurrence", 1)
    result = call("ccnet-eval", files / "set", "--torch", files / NAME, "--limit", 1, *views)
    assert result.returncode == 0, result.stderr
    for word in ("recurrence 1", "window 48, overlap 1/4", "scales 0.75, 1.25", "flipped too"):
        assert word in result.stdout
    assert "Paddle" not in result.stdout


def test_another_protocol_is_said(files):
    options = ("--protocol", "official", "--no-padding", "--whole", "--limit", 1)
    result = call("ccnet-eval", files / "set", "--paddle", files / "out.pdparams", *options)
    assert result.returncode == 0, result.stderr
    assert "protocol official is not mmseg's own, mmseg" in result.stdout
    assert "recurrence 2" in result.stdout


def test_an_interrupted_run_resumes(files, tmp_path):
    root = make_small_set(tmp_path / "set", count=3)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    command = ("ccnet-eval", root, "--torch", files / NAME, "--json")
    whole = json.loads(run(*command, env=environment).stdout)
    assert list((tmp_path / "cache").rglob("*.json")) == []
    path = image_path(root, 2)
    intact = path.read_bytes()
    path.write_bytes(intact[:500])
    assert_one_line_error(run(*command, env=environment), 2, path.name, "not a readable PNG")
    (state,) = (tmp_path / "cache").rglob("*.json")
    assert json.loads(state.read_text())["images"] == 2
    path.write_bytes(intact)
    # What is done is not done again: the second picture could not even be read.
    image_path(root, 1).write_bytes(b"")
    resumed = json.loads(run(*command, "--resume", env=environment).stdout)
    assert resumed == whole
    assert not state.exists()


def test_two_processes_equal_one(files):
    from tests.cli.run import BIN

    command = (files / "set", "--torch", files / NAME, "--json")
    alone = json.loads(run("ccnet-eval", *command).stdout)
    together = run("torchrun", "--nproc-per-node", 2, "--standalone", BIN / "ccnet-eval", *command)
    assert together.returncode == 0, together.stderr
    assert json.loads(together.stdout) == alone


def test_a_set_is_generated(tmp_path):
    result = run("ccnet-eval", "--make-dataset", tmp_path / "set", "--count", "1,2", "--size", "64,128", "--seed", 3)
    assert result.returncode == 0, result.stderr
    assert "1 train and 2 val pictures generated" in result.stdout
    with Image.open(image_path(tmp_path / "set")) as picture:
        assert picture.size == (128, 64)
    for kind in ("labelIds", "labelTrainIds"):
        assert len(list((tmp_path / "set").rglob(f"*_{kind}.png"))) == 3
    again = call("ccnet-eval", "--make-dataset", tmp_path / "set")
    assert_one_line_error(again, 2, "not an empty folder")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{set}/nowhere", "--torch", "{torch}"), ("no such folder",)),
        (("{set}", "--torch", "{torch}", "--split", "test"), ("no split 'test'",)),
        (("{set}",), ("--torch FILE, --paddle FILE or both",)),
        (("{set}", "--torch", "{set}/none.pth"), ("none.pth",)),
        (("{set}", "--torch", "{torch}", "--whole", "--slide", "65"), ("--whole and --slide",)),
        (("{set}", "--torch", "{torch}", "--overlap", "1/2"), ("--overlap belongs to --slide",)),
    ],
)
def test_mistakes_get_one_line(files, arguments, words):
    places = {"set": files / "set", "torch": files / NAME}
    assert_one_line_error(call("ccnet-eval", *(part.format(**places) for part in arguments)), 2, *words)


@pytest.mark.parametrize("option", ["--report", "--save-predictions"])
def test_a_folder_that_cannot_be_made_is_one_line_before_the_work(files, option):
    """No weights are read: there are none."""
    place = files / NAME / "inside"
    result = call("ccnet-eval", files / "set", "--torch", files / "none.pth", option, place)
    assert_one_line_error(result, 2, f"{place}: cannot make this folder: Not a directory")
    assert_one_line_error(call("ccnet-eval", "--make-dataset", place), 2, "cannot make this folder")


@pytest.mark.parametrize(
    "arguments",
    [(), ("--make-dataset", "a", "b"), ("a", "--scales", "0"), ("a", "--overlap", "1"), ("a", "--protocol", "none")],
)
def test_usage_errors(arguments):
    result = call("ccnet-eval", *arguments)
    assert result.returncode == 2
    assert "Usage:" in result.stderr


def test_help_has_examples_and_exit_codes():
    result = run("ccnet-eval", "--help")
    assert "Examples:" in result.stdout
    assert "Exit code" in result.stdout


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Official stand-in weights, and a port's own file of them: other names and nesting."""
    from converter.files import write_pdparams
    from parity.networks.port import load_port
    from parity.pairing.match import match_port
    from tests.parity.small_twins import make_twins

    folder = tmp_path_factory.mktemp("port")
    make_small_set(folder / "set", count=2)
    save_state_dict(folder / "official.pth", make_state_dict("official", seed=0, depth=18))
    layer = load_port("tests.parity.renamed_port:build")
    match_port(make_twins()[0], layer, None)
    with (folder / "mine.pdparams").open("wb") as file:
        write_pdparams(file, ((name, value.numpy()) for name, value in layer.state_dict().items()))
    return folder


def evaluate_port(folder, spec, *options, weights=None):
    files = ("--torch", folder / "official.pth", "--port", spec, "--port-weights", weights or folder / "mine.pdparams")
    return call("ccnet-eval", folder / "set", *files, "--no-padding", "--whole", "--recurrence", 2, *options)


@pytest.mark.parametrize("function", ["build", "build_full_size"])
def test_a_users_own_port_is_evaluated_beside_the_reference(port, function, tmp_path):
    """With logits at an eighth of the size, and as PaddleSeg's models give them: a list, at the picture's size."""
    result = evaluate_port(port, f"tests.cli.ports:{function}", "--json", "--report", tmp_path / "report")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["agreement"]["unexplained_pixels"] == 0
    assert found["paddle"]["miou"] == pytest.approx(found["torch"]["miou"], abs=1e-4)
    assert found["settings"]["port"] == f"tests.cli.ports:{function}"
    assert found["settings"]["weights"].keys() == {"torch", "port"}
    assert "<th>port</th>" in (tmp_path / "report" / "report.html").read_text()


def test_a_wrong_port_is_a_failure_and_named(port):
    result = evaluate_port(port, "tests.cli.ports:build_wrong", "--limit", 1)
    assert result.returncode == 1, result.stderr
    for word in ("IoU port", "FAILED", "the port is tests.cli.ports:build_wrong with", "mine.pdparams"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tests.cli.ports:build_nothing", ("returned a NoneType",)),
        ("tests.cli.ports:nowhere", ("cannot build it", "nowhere")),
        ("tests.cli.no_module:build", ("cannot build it", "no_module")),
        ("tests.cli.ports", ("package.module:function",)),
        ("tests.cli.ports:build_failing", ("cannot run it (ZeroDivisionError", "ports.py:")),
        ("tests.cli.ports:build_classes", ("gives (1, 2, 64, 128) for a picture",)),
        ("tests.cli.ports:build_text", ("gives str for a picture",)),
    ],
)
def test_ports_that_cannot_be_used(port, spec, words, tmp_path):
    from converter.files import write_pdparams

    empty = tmp_path / "scale.pdparams"
    with empty.open("wb") as file:
        write_pdparams(file, [("scale", np.ones(1, np.float32))])
    assert_one_line_error(evaluate_port(port, spec, weights=empty), 2, f"--port {spec}", *words)


def test_weights_that_are_not_the_ports(port):
    spec = "tests.cli.ports:build"
    files = ("--port", spec, "--port-weights", port / "official.pth")
    result = call("ccnet-eval", port / "set", "--torch", port / "official.pth", *files)
    assert_one_line_error(result, 2, "official.pth: does not fit the port", "missing")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "a:b"),
        ("--port-weights", "x"),
        ("--port", "a:b", "--port-weights", "x"),
        ("--port", "a:b", "--port-weights", "x", "--torch", "y", "--paddle", "z"),
    ],
)
def test_a_port_needs_its_weights_and_one_reference(arguments):
    result = call("ccnet-eval", "set", *arguments)
    assert result.returncode == 2
    assert "--port" in result.stderr.splitlines()[-1]


def test_a_small_set_is_not_padded_without_a_word(port):
    """The official protocol extends them to 1024 × 2048."""
    command = ("ccnet-eval", port / "set", "--torch", port / "official.pth", "--recurrence", 2, "--slide", 769)
    result = call(*command, "--limit", 1, "--protocol", "mmseg")
    assert "extended" not in result.stdout
    result = call(*command, "--limit", 1, "--overlap", 0, "--json")
    assert result.returncode == 0, result.stderr
    note = json.loads(result.stdout)["notes"][0]
    assert note.startswith("one picture was extended to 1024 × 2048 by zeros, as protocol official has it")
    assert "the smallest is 64 × 128" in note
    assert "--no-padding" in note
    assert "extended" not in call(*command, "--limit", 1, "--no-padding").stdout
